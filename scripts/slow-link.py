#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""slow-link.py DEVICE OUT MS LOSS

Makes a link slow and lossy, on any kernel (netem is not in each of them). Creates the tun device DEVICE; each IP packet
that is routed into it leaves through the device OUT after MS milliseconds, in order; LOSS per cent are lost.
Ends when it is killed, and DEVICE with it.
"""
import collections
import fcntl
import os
import random
import select
import socket
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
WAITING_MAX = 20000  # packets; what comes beyond is lost, as in a router


def main():
    device, out, delay, loss = sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000, float(sys.argv[4]) / 100
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN_NO_PI))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, out.encode())
    waiting = collections.deque()
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([tun], [], [], timeout)[0]:
            packet = os.read(tun, 65536)
            if packet[0] >> 4 == 4 and len(waiting) < WAITING_MAX and random.random() >= loss:
                waiting.append((time.monotonic() + delay, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            packet = waiting.popleft()[1]
            try:
                raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
            except OSError:
                pass  # a full queue or nobody there: lost, as on any link


main()
