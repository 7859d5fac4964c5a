//! What a miner and we agree on before it mines: extensions, extranonce, worker names, where its difficulty starts.

use super::*;

impl Session {
    pub(super) fn request(&mut self, now: Instant, id: RawId<'_>, request: Request<'_>, line: &[u8], io: &mut Io) {
        let needs_offer = matches!(request, Request::Configure(_) | Request::Subscribe { .. });
        if needs_offer && self.offer.is_none() {
            self.held = Held::ForOffer(line.into());
            return io.effects.push(Effect::WantOffer);
        }
        match request {
            Request::Configure(configure) => self.configure(now, id, &configure, io),
            Request::Subscribe { user_agent, session } => self.subscribe(id, &user_agent, session.as_deref(), io),
            Request::Authorize { user, password } => self.authorize(id, &user, &password, io),
            Request::SuggestDifficulty(difficulty) => {
                Response(&mut io.out).ok(id);
                self.suggest(now, Difficulty::new(difficulty), io);
            }
            Request::SuggestTarget(target) => {
                Response(&mut io.out).ok(id);
                self.suggest(now, Some(Target::from_be_bytes(target).difficulty()), io);
            }
            Request::ExtranonceSubscribe => {
                self.takes_set_extranonce = true;
                Response(&mut io.out).ok(id);
            }
            Request::MultiVersion => {
                Response(&mut io.out).ok(id);
                self.set_rolling(Rolling::WholeVersion, io);
            }
            Request::GetTransactions => Response(&mut io.out).error(id, 20, "Not supported."),
            Request::Ping => Response(&mut io.out).result(id, "\"pong\""),
            Request::Unknown(_) => Response(&mut io.out).method_not_found(id),
            Request::Answer => {}
            Request::Submit(_) => unreachable!("handled apart, on the hot path"),
        }
    }

    pub(super) fn configure(&mut self, now: Instant, id: RawId<'_>, configure: &Configure<'_>, io: &mut Io) {
        let listener_mask = self.listener_mask();
        let mut answer = serde_json::Map::new();
        for extension in &configure.extensions {
            match extension {
                Extension::VersionRolling { mask } => {
                    let granted = mask & listener_mask;
                    self.set_rolling(Rolling::Granted { mask: granted, told: granted }, io);
                    answer.insert("version-rolling".into(), (granted != 0).into());
                    if granted != 0 {
                        answer.insert("version-rolling.mask".into(), format!("{granted:08x}").into());
                    }
                }
                Extension::MinimumDifficulty { value } => {
                    let floor = value.and_then(Difficulty::new);
                    self.options.floor = floor.or(self.options.floor);
                    if let (Some(vardiff), Some(floor)) = (&mut self.vardiff, floor) {
                        vardiff.raise_floor(now, floor);
                    }
                    answer.insert("minimum-difficulty".into(), true.into());
                }
                Extension::SubscribeExtranonce => {
                    self.takes_set_extranonce = true;
                    answer.insert("subscribe-extranonce".into(), true.into());
                }
                Extension::Info => {
                    answer.insert("info".into(), true.into());
                }
                Extension::Unknown(name) => {
                    answer.insert(name.to_string(), false.into());
                }
            }
        }
        Response(&mut io.out).result(id, serde_json::Value::Object(answer));
    }

    pub(super) fn subscribe(&mut self, id: RawId<'_>, user_agent: &str, session: Option<&str>, io: &mut Io) {
        if self.lease.is_some() {
            // A second subscribe changes nothing, but the miner waits for an answer.
            return self.write_subscribed(id, io);
        }
        self.quirks = Quirks::of(user_agent);
        self.agent = (!user_agent.is_empty()).then(|| cut(user_agent, MAX_AGENT).into());
        let size = self.offer.expect("checked before").layout.extranonce2_size;
        if !self.quirks.extranonce2_sizes.contains(&size) {
            Response(&mut io.out).error(
                id,
                20,
                format_args!("The pools leave {size} bytes of extranonce2, which this firmware can't use"),
            );
            return io.effects.push(Effect::Close(CloseReason::Extranonce2Size));
        }
        self.held = Held::ForLease(id.as_bytes().into());
        io.effects.push(Effect::WantLease { resume: session.and_then(SessionId::parse) });
    }

    pub(super) fn write_subscribed(&self, id: RawId<'_>, io: &mut Io) {
        if let Some(LeaseTerms { session, id: extranonce1, layout, .. }) = self.lease() {
            Response(&mut io.out).subscribed(id, session, extranonce1, layout.extranonce2_size);
        }
    }

    pub(super) fn authorize(&mut self, id: RawId<'_>, user: &str, password: &str, io: &mut Io) {
        if user.is_empty() {
            return Response(&mut io.out).error(id, 24, "Unauthorized worker: the user name is empty");
        }
        if let Err(at) = self.workers.binary_search_by(|known| (*known.name).cmp(user)) {
            if self.workers.len() >= self.settings.limits.workers_per_connection {
                return Response(&mut io.out).error(id, 24, "Unauthorized worker: too many on this connection");
            }
            // None ever leaves, so that the number of those before is its own. The config lets in no more than fit.
            let place = u16::try_from(self.workers.len()).unwrap_or(u16::MAX);
            self.workers.insert(at, Authorized { name: user.into(), place });
        }
        if self.user.is_none() {
            self.user = self.workers.iter().find(|worker| *worker.name == *user).map(|worker| worker.name.clone());
            let PasswordOptions { start, floor } = PasswordOptions::parse(password);
            self.options = PasswordOptions { start, floor: floor.or(self.options.floor) };
        }
        Response(&mut io.out).ok(id);
        self.ask_route(io);
    }

    /// It rolls, or does not: another pool may suit it now.
    pub(super) fn set_rolling(&mut self, rolling: Rolling, io: &mut Io) {
        self.rolling = rolling;
        if self.asked_route != AskedRoute::No {
            self.ask_route(io);
        }
    }

    /// Asks for work as soon as a lease is there, and again when the user name is, or when it turns out that the miner rolls.
    pub(super) fn ask_route(&mut self, io: &mut Io) {
        let wanted = if self.user.is_some() { AskedRoute::ByName } else { AskedRoute::Anonymous };
        let is_new = self.asked_route != wanted && self.asked_route != AskedRoute::ByName;
        let is_other = self.asked_route != AskedRoute::No && self.asked_rolls != self.rolls();
        if self.lease.is_some() && (is_new || is_other) {
            self.asked_route = wanted;
            self.asked_rolls = self.rolls();
            io.effects.push(Effect::WantRoute { user: self.user.clone() });
        }
    }

    pub(super) fn suggest(&mut self, now: Instant, difficulty: Option<Difficulty>, io: &mut Io) {
        // NerdMiner repeats its suggestion every 30 s: only what is said at the start counts.
        let in_time = self.first_work.is_none_or(|first| now.duration_since(first) < SUGGESTION_IN_TIME);
        if self.suggested == difficulty || self.credited_any || !in_time {
            return;
        }
        self.suggested = difficulty;
        let (Some(difficulty), true) = (difficulty, self.started_from > StartFrom::Suggested) else { return };
        if let Some(vardiff) = &mut self.vardiff {
            self.started_from = StartFrom::Suggested;
            let retarget = vardiff.suggest(now, difficulty);
            self.retarget(now, retarget, io);
        }
    }

    /// What the listener offers is known.
    pub fn handle_offer(&mut self, now: Instant, offer: Offer, io: &mut Io) {
        self.offer.get_or_insert(offer);
        if let Held::ForOffer(line) = &mut self.held {
            let line = std::mem::take(line);
            self.held = Held::Nothing;
            self.handle_line(now, &line, io);
        }
    }

    /// The router's answer to [`Effect::WantLease`]; an error is a text for the miner. `fate`: of the pool connections that there
    /// are; `None` if one is gone.
    pub fn handle_lease(
        &mut self,
        now: Instant,
        lease: Result<Leased, impl fmt::Display>,
        fate: impl Fn(UpstreamId) -> Option<Fate>,
        io: &mut Io,
    ) {
        let Held::ForLease(id) = std::mem::replace(&mut self.held, Held::Nothing) else {
            // No second lease could be had for a new layout: it has to come again.
            Response(&mut io.out).reconnect(1);
            return io.effects.push(Effect::Close(CloseReason::Relayout));
        };
        let id = RawId::from_bytes(&id);
        match lease {
            Ok(Leased { lease, resumed }) => {
                self.lease = Some(lease);
                if let Some(parked) = resumed {
                    self.resume(now, parked, fate);
                }
                self.subscribed = Some(now);
                self.write_subscribed(id, io);
                if self.user.is_some() {
                    self.ask_route(io);
                }
            }
            Err(refusal) => {
                Response(&mut io.out).error(id, 20, refusal);
                io.effects.push(Effect::Close(CloseReason::Exhausted));
            }
        }
    }

    /// Takes up what was parked, and what the miner missed.
    pub(super) fn resume(&mut self, now: Instant, parked: Parked, fate: impl Fn(UpstreamId) -> Option<Fate>) {
        let Parked { since, window, latest, vardiff } = parked;
        let worked_for = latest.as_ref().map(|latest| (latest.series.job().upstream, latest.came));
        self.window = window;
        self.window.supersede_where(|upstream| {
            let Some(Fate { is_lost, cleaned }) = fate(upstream) else { return true };
            // Of the pool it worked for, it has heard all up to the work sent last.
            let (may_resume, heard_until) = match worked_for {
                Some((own, came)) if own == upstream => (true, came),
                _ => (false, since),
            };
            is_lost && !may_resume || cleaned.is_some_and(|cleaned| cleaned > heard_until)
        });
        if let Some((upstream, _)) = worked_for.filter(|(own, _)| fate(*own).is_some_and(|fate| fate.is_lost)) {
            self.link = Link::Away(upstream);
        }
        self.latest = latest;
        self.vardiff = vardiff;
        // Whoever connects is awake, or soon will be.
        if let Some(vardiff) = &mut self.vardiff {
            vardiff.rise(now);
        }
    }

    pub(super) fn start_difficulty(&mut self, now: Instant, remembered: Option<Difficulty>) {
        let by_agent = self.quirks.start_difficulty.and_then(Difficulty::new);
        let (from, start) = [
            (StartFrom::Password, self.options.start),
            (StartFrom::Remembered, remembered),
            (StartFrom::Suggested, self.suggested),
            (StartFrom::UserAgent, by_agent),
        ]
        .into_iter()
        .find_map(|(from, start)| Some((from, start?)))
        .unwrap_or((StartFrom::Listener, self.settings.listener.vardiff.start));
        self.started_from = from;
        // A resumed session knows better.
        if self.vardiff.is_some() && from > StartFrom::Password && self.first_work.is_none() {
            return;
        }
        let mut vardiff = Vardiff::new(&self.settings.vardiff, self.quirks.step, start, now);
        if let Some(suggested) = self.suggested {
            // What a tiny miner suggests also lowers its floor.
            if suggested < self.settings.listener.vardiff.min {
                vardiff.suggest(now, suggested.min(start));
            }
        }
        if let Some(floor) = self.options.floor {
            vardiff.raise_floor(now, floor);
        }
        self.vardiff = Some(vardiff);
    }

    /// The layout of the listener changed so that this miner's pool can't hold it: a new lease, or a reconnect.
    pub fn handle_relayout(&mut self, layout: Layout, io: &mut Io) {
        // It is said again until all have it.
        let Some(offer) = self.offer.as_mut().filter(|offer| offer.layout != layout) else { return };
        offer.layout = layout;
        if self.takes_set_extranonce {
            io.effects.push(Effect::WantLease { resume: None });
        } else {
            Response(&mut io.out).reconnect(1);
            io.effects.push(Effect::Close(CloseReason::Relayout));
        }
    }

    /// A lease for a miner that is connected already, after [`handle_relayout`](Self::handle_relayout).
    pub fn handle_new_lease(&mut self, now: Instant, lease: ExtranonceLease<Parked>, io: &mut Io) {
        let LeaseTerms { id, layout, .. } = lease.terms;
        Response(&mut io.out).set_extranonce(id, layout.extranonce2_size);
        // Jobs of the old extranonce stay with the old lease: shares for them can't be built any more.
        let left =
            Parked { since: now, window: std::mem::take(&mut self.window), latest: self.latest.take(), vardiff: None };
        if let Some(old) = self.lease.replace(lease) {
            // Its id is not free yet: the pool knows what was hashed with it.
            old.park(left);
        }
        self.link = Link::None;
        self.asked_route = AskedRoute::No;
        self.ask_route(io);
    }

    pub(super) fn listener_mask(&self) -> u32 {
        self.offer.map_or(0, |offer| offer.version_mask)
    }
}

/// The beginning of a text, of so many bytes at most.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}
