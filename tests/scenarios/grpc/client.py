"""Calls a gRPC server as a program would: client.py TARGET WHAT…; prints what came. Only port 50051 is spoken to in clear."""
import sys

import grpc

target, what, *words = sys.argv[1:]
channel = grpc.secure_channel(target, grpc.ssl_channel_credentials()) if not target.endswith(":50051") else grpc.insecure_channel(target)
try:
    if what == "say":
        answer, call = channel.unary_unary("/t.S/Say").with_call(words[0].encode(), timeout=30, metadata=(("x-note", "noted"),))
        print(answer.decode(), dict(call.trailing_metadata()).get("x-trailing"), call.code().name)
    elif what == "big":
        print(len(channel.unary_unary("/t.S/Say")(b"x" * int(words[0]), timeout=60)))
    elif what == "count":
        print(b" ".join(channel.unary_stream("/t.S/Count")(words[0].encode(), timeout=30)).decode())
    elif what == "gather":
        print(channel.stream_unary("/t.S/Gather")((word.encode() for word in words), timeout=30).decode())
    elif what == "talk":  # each message is sent when the one before was answered
        answers = []

        def messages():
            for i, word in enumerate(words):
                while len(answers) < i:
                    pass
                yield word.encode()

        for answer in channel.stream_stream("/t.S/Talk")(messages(), timeout=30):
            answers.append(answer.decode())
        print(", ".join(answers))
except grpc.RpcError as error:
    print(error.code().name, error.details())
