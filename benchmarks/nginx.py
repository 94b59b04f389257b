"""nginx server for requests that need no delay, if nginx is installed. It takes a fraction of a client's time.

The response to a GET is the image, and that to a POST is one link to it. A POST is read completely before the response,
as the service does. nginx does that only for requests that it proxies, so it proxies calls to itself, without bodies.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from server import draw_noise, make_answer

CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_max_body_size 32m;
    client_body_buffer_size 32m;
    client_body_temp_path client;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream answers {{ server unix:answers.socket; keepalive 256; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /a.png {{ root .; default_type image/png; }}
        location / {{
            proxy_pass http://answers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_pass_request_body off;
        }}
    }}
    server {{
        listen unix:answers.socket;
        keepalive_requests 1000000;
        default_type application/json;
        location / {{ return 200 '{answer}'; }}
    }}
}}
"""


def is_installed() -> bool:
    """Return whether nginx is installed."""
    return shutil.which("nginx") is not None


def nginx_version() -> str:
    """Return its name and version; an empty string if it is not installed."""
    if not is_installed():
        return ""

    output = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return output.rpartition(": ")[2].strip()


@contextmanager
def nginx_server(image_bytes: int) -> Iterator[str]:
    """Run nginx during the block, and return its URL."""
    with TemporaryDirectory() as folder:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        Path(folder, "a.png").write_bytes(draw_noise(image_bytes))
        Path(folder, "nginx.conf").write_text(CONFIGURATION.format(port=port, answer=make_answer(url, 1)))
        with subprocess.Popen(["nginx", "-p", folder, "-c", "nginx.conf"]) as process:
            try:
                wait_for_server(port)
                yield url
            finally:
                process.terminate()


def free_port() -> int:
    """Return a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_for_server(port: int) -> None:
    """Wait until a server listens on the port."""
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise

            time.sleep(0.01)
