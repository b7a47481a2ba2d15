"""Breaks out: opens a socket to an address that is not this machine's.

A UDP socket, because connecting one looks up the route without sending a packet: the attempt
fails where there is no way out, and disturbs nobody where there is one.
"""

import socket

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.connect(("192.0.2.1", 9))  # TEST-NET-1: nobody's address (RFC 5737)
