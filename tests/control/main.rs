//! What an operator may ask of the power side, over the admin API and on the command line, with a power side that writes down what it
//! is asked.
//!
//! | file | the promise |
//! |---|---|
//! | `api.rs` | every token opens what it is for and nothing else; an order arrives as it was meant, or not at all |
//! | `commands.rs` | the binary says what follows, and what to do where it can't |
//! | `operator.rs` | what an operator looks at: one screen, the miners, events as they come; on a terminal, in a pipe, in a script |
//! | `farm.rs` | the same of a proxy whose machines sleep, hang up and wake: who sleeps is not missed |
//! | `ledger.rs` | what a proxy that died has put to sleep is woken without it, and nothing is done behind one that lives |
//! | `door.rs` | who shows no token keeps nobody out |
//! | `pages.rs` | what a dashboard reads says what is, by name and with units |
//! | `stream.rs` | who listens to events hears each once, and holds nobody up |
//! | `workers.rs` | every worker can be found among a hundred thousand |
//! | `whole.rs` | the same of a whole proxy: the pages say what pools, miners and prices do |
//! | `document.rs` | the OpenAPI document says what there is, and every answer of these tests is as it says |

mod api;
mod commands;
mod document;
mod door;
mod farm;
mod ledger;
mod operator;
mod pages;
mod site;
mod stream;
mod whole;
mod workers;
