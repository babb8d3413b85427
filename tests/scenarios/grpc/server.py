"""A gRPC server without generated code: server.py ADDRESS FOLDER NAME: TLS at 8444 and in clear at 50051. Messages are bytes as they are."""
import sys
from concurrent import futures

import grpc

address, folder, name = sys.argv[1:]


def read(path):
    with open(f"{folder}/{path}", "rb") as file:
        return file.read()


def log(line):
    with open(f"{folder}/grpc.log", "a") as file:
        file.write(line + "\n")


def say(request, context):
    log(f"Say {request[:60].decode()} {dict(context.invocation_metadata()).get('x-note', '')}")
    if request == b"fail":
        context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing")
    context.set_trailing_metadata((("x-trailing", "last"),))
    return b"hello " + request


def count(request, context):
    for i in range(int(request)):
        yield b"%d" % i


def gather(requests, context):
    return b" ".join(requests)


def talk(requests, context):
    for request in requests:
        log(f"Talk {request[:60].decode()}")
        yield b"heard " + request


class Handlers(grpc.GenericRpcHandler):
    def service(self, call):
        return {"/t.S/Say": grpc.unary_unary_rpc_method_handler(say), "/t.S/Count": grpc.unary_stream_rpc_method_handler(count),
                "/t.S/Gather": grpc.stream_unary_rpc_method_handler(gather), "/t.S/Talk": grpc.stream_stream_rpc_method_handler(talk)}.get(call.method)


server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(Handlers(),), options=[("grpc.max_receive_message_length", 1 << 30)])
server.add_secure_port(f"{address}:8444", grpc.ssl_server_credentials([(read(f"{name}.key"), read(f"{name}.crt"))]))
server.add_insecure_port(f"{address}:50051")
server.start()
print("listens", flush=True)
server.wait_for_termination()
