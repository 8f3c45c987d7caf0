#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Somebody on the network who does not have the cluster's key, for attack_test.sh.

stranger.py listen FOLDER
    Writes down, of each TCP connection over loopback in which a listener speaks first as a node does, the dialler's
    answer: FOLDER/PORT-FROM. Until it is killed.
stranger.py attack PORT FOLDER
    Attacks the node at 127.0.0.1:PORT, with what was recorded there among other things, and waits until it has
    closed all of the connections. Prints how many there were of each kind. Exit code 1, and why, where the node
    said more than its first message, or did not close.
"""
import glob
import os
import select
import socket
import struct
import sys
import time

FIRST, SECOND = 33, 169  # bytes of these messages (docs/protocol.md)
HALF_OPEN = 40
LIMIT = 60


def is_answer(key, said):
    port, source = key
    return len(said.get((source, port), b"")) >= FIRST and said[source, port][0] == 1 and len(said[key]) >= SECOND


def listen(folder):
    said = {}
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 25)
    wire.bind(("lo", 0x0800))
    open(os.path.join(folder, "listening"), "w").close()
    while True:
        packet, where = wire.recvfrom(65536)
        head = (packet[0] & 15) * 4
        if where[2] == socket.PACKET_OUTGOING or packet[9] != socket.IPPROTO_TCP:
            continue  # each one comes twice over loopback
        source, port = struct.unpack("!HH", packet[head : head + 4])
        data = packet[head + (packet[head + 12] >> 4) * 4 :]
        key = port, source
        if not data or len(said.get(key, b"")) >= SECOND:
            continue
        said[key] = said.get(key, b"") + data
        if is_answer(key, said):
            path = os.path.join(folder, "%d-%d" % key)
            with open(path + ".new", "wb") as file:
                file.write(said[key][:SECOND])
            os.rename(path + ".new", path)


def dial(port, source):
    connection = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
    connection.setblocking(False)
    return connection


def attacks(port, folder):
    """The kind, the source, what is said after the node's first message, and whether it ends with that."""
    records = [open(path, "rb").read() for path in sorted(glob.glob(os.path.join(folder, "%d-*" % port)))]
    if not records:
        sys.exit("nothing was recorded")
    for record in records:
        for _ in range(3):
            yield "replayed", "127.0.0.2", record, False
        yield "altered", "127.0.0.2", record[:100] + bytes([record[100] ^ 4]) + record[101:], False
    for size in (1, 100, SECOND, 5000):
        noise = os.urandom(size - 1)
        yield "version", "127.0.0.3", b"\x07" + noise, False
        yield "noise", "127.0.0.3", (b"\x01" + noise).ljust(SECOND, b"x"), False
        yield "cut", "127.0.0.3", (b"\x01" + noise)[:100], True
    for _ in range(3):
        yield "silent", "127.0.0.4", b"", False
    for _ in range(HALF_OPEN):
        yield "half_open", "127.0.0.5", b"\x01", False


def attack(port, folder):
    counts, waiting, heard, said = {}, {}, {}, {}
    for kind, source, words, ends in attacks(port, folder):
        counts[kind] = counts.get(kind, 0) + 1
        connection = dial(port, source)
        waiting[connection] = (kind, words, ends)
        heard[connection] = 0
    end = time.monotonic() + LIMIT
    while waiting:
        if time.monotonic() > end:
            sys.exit("not closed: %s" % sorted(kind for kind, _, _ in waiting.values()))
        for connection in select.select(list(waiting), [], [], 1)[0]:
            kind, words, ends = waiting[connection]
            try:
                data = connection.recv(65536)
                heard[connection] += len(data)
                if data and connection not in said:
                    said[connection] = True
                    connection.send(words)
                    if ends:
                        connection.shutdown(socket.SHUT_WR)
            except ConnectionError:
                data = b""
            if heard[connection] > FIRST:
                sys.exit("%s was answered with %d bytes more" % (kind, heard[connection] - FIRST))
            if not data:
                del waiting[connection]
                connection.close()
    for kind, count in counts.items():
        print("%s=%d" % (kind, count))


if sys.argv[1] == "listen":
    listen(sys.argv[2])
else:
    attack(int(sys.argv[2]), sys.argv[3])
