#!/usr/bin/env python3
"""Takes hashgate's signed leases of power for AI compute, and tells its status. Python's standard library only; a start, not a product.

    AI_WEBHOOK_SECRET=… python3 ai_webhook_receiver.py [ADDRESS [PORT]]      hashgate: url = "http://…/lease", status = "http://…/status"
"""
import collections, datetime, hashlib, hmac, http.server, json, os, sys, time

SECRET = os.environ["AI_WEBHOOK_SECRET"].encode()
WINDOW = 300  # seconds that a signature counts; the clocks must agree
# The highest epoch, id -> message, ids that were asked back. Keep them on disk: a restart must not make old grants good again.
highest, leases, closed = 0, {}, collections.deque(maxlen=10_000)

# These three are yours.
def start(lease):  # Start jobs that draw `it_watts` more than without this lease. Once it has expired: no new jobs.
    print(f"start {lease['it_watts'] / 1000:.1f} kW for lease {lease['id']}")
def stop(lease, deadline):  # Stop them by the deadline. True once they are; until then, hashgate asks again.
    return print(f"stop lease {lease['id']} until {deadline}") or True
def drawn_watts():  # Read your PDUs or BMCs: what the machines really draw, not what they may.
    return sum(lease["it_watts"] for lease in leases.values())

def is_signed(header, body):
    parts = [part.partition("=")[::2] for part in header.split(",")]
    times, signatures = ([value for name, value in parts if name == wanted] for wanted in ("t", "v1"))
    if len(times) != 1 or not times[0].isdecimal() or abs(time.time() - int(times[0])) > WINDOW:
        return False
    wanted = hmac.new(SECRET, times[0].encode() + b"." + body, hashlib.sha256).hexdigest().encode()
    return any([hmac.compare_digest(wanted, signature.encode()) for signature in signatures])

def take(message):  # What hashgate is answered.
    global highest
    name, epoch, kind = str(message["id"]), int(message["epoch"]), message["type"]
    if kind == "lease.revoke":  # Taken whatever the epoch; "0-0" is everything.
        highest, asked = max(highest, epoch), [one for one in leases if name in (one, "0-0")]
        closed.extend({name, *asked} - {"0-0", *closed})
        for one in [one for one in asked if stop(leases[one], message["deadline"])]:
            del leases[one]
        return "releasing" if any(one in leases for one in asked) else "released"
    expires = datetime.datetime.fromisoformat(message["expires"].replace("Z", "+00:00")).timestamp()
    if kind != "lease.grant" or epoch < highest or name in closed or expires < time.time():
        return "releasing" if name in closed and name in leases else "refused"
    highest, is_new, leases[name] = epoch, name not in leases, message  # The same id again is a renewal: it expires later.
    is_new and start(message)
    return "taken"

class Receiver(http.server.BaseHTTPRequestHandler):
    timeout, log_message = 10, lambda *_: None
    def answer(self, length, work):
        try:
            body = self.rfile.read(max(0, min(int(length), 4096)))
            code, said = (200, work(body)) if is_signed(self.headers["X-Signature"] or "", body) else (401, {"error": "signature"})
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            code, said = 400, {"error": repr(error)}
        self.send_response(code), self.send_header("Content-Type", "application/json"), self.end_headers()
        self.wfile.write(json.dumps(said).encode())
    do_POST = lambda self: self.answer(self.headers["Content-Length"] or 0, lambda body: {"state": take(json.loads(body))})
    do_GET = lambda self: self.answer(0, lambda _: {"epoch": highest, "drawn_watts": drawn_watts(), "state": "running" if leases else "idle",
                                                    "observed_at": datetime.datetime.now(datetime.timezone.utc).isoformat()})

server = http.server.HTTPServer((sys.argv[1] if sys.argv[1:] else "127.0.0.1", int((sys.argv[2:] or [9500])[0])), Receiver)
print("listening on http://{}:{}".format(*server.server_address), flush=True)
server.serve_forever()
