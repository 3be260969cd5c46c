"""A small reverse proxy, which serves a server below a path of its own."""

import contextlib
import http.client
import http.server
import threading
from collections.abc import Iterator

import httpx

# Of one connection, not of what is sent over it.
_OWN = {"transfer-encoding", "connection", "content-length"}


@contextlib.contextmanager
def proxied(url: str, path: str, *, strips: bool) -> Iterator[str]:
    """Runs a proxy in front of a server; gives the server's address seen from outside.

    Args:
        url: The server's own address.
        path: Where the proxy has it.
        strips: Whether the server is asked without that path, as nginx does with
            "proxy_pass http://127.0.0.1:8080/" and Caddy with "handle_path".
    """
    to = httpx.URL(url)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not self.path.startswith(f"{path}/"):
                self.send_error(404)
                return
            length = int(self.headers.get("Content-Length", 0))
            server = http.client.HTTPConnection(to.host, to.port, timeout=30)
            kept = {k: v for k, v in self.headers.items() if k.lower() not in _OWN}
            server.request(
                self.command,
                self.path[len(path) :] if strips else self.path,
                self.rfile.read(length),
                kept | {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"},
            )
            answer = server.getresponse()
            content = answer.read()
            server.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OWN:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *values: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}{path}"
        finally:
            proxy.shutdown()
            thread.join()
