#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make_pcap.py: prints a capture of 2,500 UDP packets of 1,000 bytes, the same at every run."""
import struct
import sys

out = sys.stdout.buffer
out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
for i in range(2500):
    payload = (b"packet %06d " % i).ljust(1000, b".")
    udp = struct.pack(">HHHH", 4008, 4009, 8 + len(payload), 0)
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 28 + len(payload), i, 0, 64, 17, 0, 0x7F000001, 0x7F000001)
    frame = bytes(12) + b"\x08\x00" + ip + udp + payload
    out.write(struct.pack("<IIII", 1000000000 + i, 0, len(frame), len(frame)) + frame)
