#!/usr/bin/env python3
"""A Java key store of a PEM bundle, as src/sandbox/local/trust.c writes it: jks.py BUNDLE STORE."""
import re, ssl, struct, sys

text = open(sys.argv[1]).read()
certificates = [ssl.PEM_cert_to_DER_cert(pem) for pem in re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)]
word = lambda s: struct.pack(">H", len(s)) + s
with open(sys.argv[2], "wb") as file:
    file.write(struct.pack(">III", 0xFEEDFEED, 2, len(certificates)))
    for i, der in enumerate(certificates):
        file.write(struct.pack(">I", 2) + word(b"assay%d" % i) + struct.pack(">Q", 0) + word(b"X.509") + struct.pack(">I", len(der)) + der)
    file.write(bytes(20))
