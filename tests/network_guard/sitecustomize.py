"""Ends any connection or name look-up outside loopback with an error that no test expects.

Python imports a module of this name at start, so child processes of a test are guarded as the test is. The
audit hooks fire below every library, since each reaches the network through these calls.
"""

import ipaddress
import os
import sys

ALLOWED_NAMES = {"", "localhost", "localhost.localdomain", "ip6-localhost"}


def _outside(host):
    if host is None:
        return False
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name.lower() in ALLOWED_NAMES:
        return False
    try:
        return not (ipaddress.ip_address(name).is_loopback or ipaddress.ip_address(name).is_unspecified)
    except ValueError:
        return True


def _guard(event, arguments):
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}:
        host = arguments[0]
    else:
        return
    if _outside(host):
        breach = os.environ.get("MIXBENCH_NETWORK_BREACHES")
        if breach:
            with open(breach, "a") as log:
                log.write(f"{event} {host!r} in {sys.argv!r}\n")
        raise ConnectionRefusedError(f"the test suite allows no network: {event} {host!r}")


sys.addaudithook(_guard)
