"""upgraded.py PORT HOST CA COOKIE [ADDRESS]: an upgraded connection through the preview: what was heard of the 3 MiB, and whether the rest is echoed."""
import socket
import ssl
import sys

port, host, authority, cookie, *address = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
with context.wrap_socket(socket.create_connection((*(address or ["127.0.0.1"]), int(port)), timeout=20), server_hostname=host) as peer:
    peer.sendall(f"GET /socket HTTP/1.1\r\nHost: {host}\r\nUpgrade: blob\r\nConnection: Upgrade\r\nCookie: {cookie}\r\n\r\n".encode())
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += peer.recv(65536)
    head, heard = heard.split(b"\r\n\r\n", 1)
    peer.sendall(b"hello")
    while len(heard) < (3 << 20) + 5 and (piece := peer.recv(65536)):
        heard += piece
    print(head.split(b" ")[1].decode(), len(heard), set(heard[:-5]) == {ord("x")}, heard[-5:].decode())
