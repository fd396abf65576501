"""WebDAV servers, each in a folder of its own: context managers that yield a `Share`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support.deployed import free_ports, status

from backends.tools import existing, package, program, serving


@dataclass(frozen=True)
class Share:
    """A running server.

    Attributes:
        url: of its root, without a slash at the end.
        files: where the root's files lie.
        routes: what docs/backends.md says to write for it.
    """

    url: str
    files: Path
    routes: Sequence[dict[str, Any]] = ()


Start = Callable[[Path], AbstractContextManager[Share]]


@contextmanager
def _share(folder: Path, port: int, *command: str | Path, **environment: str) -> Iterator[Share]:
    files = folder / "files"
    with serving(*command, folder=folder, ready=lambda: status(port, "/") != 0, **environment):
        yield Share(f"http://127.0.0.1:{port}", files)


def _ground(folder: Path) -> int:
    (folder / "files").mkdir()
    return free_ports(1)[0]


_NGINX = """
{modules}
daemon off; master_process off; pid {folder}/pid; error_log stderr; {user}
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/temp;
  {zone}
  server {{
    listen 127.0.0.1:{port}; root {folder}/files;
    location / {{ dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on; {more} }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[Share]:
    """nginx's stock module: tags of size and second, and PUT without conditions."""
    with _nginx(folder) as share:
        yield share


@contextmanager
def nginx_ext(folder: Path) -> Iterator[Share]:
    """The same with the module that adds PROPFIND, LOCK and the rest."""
    module = existing("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")
    with _nginx(
        folder,
        modules=f"load_module {module};",
        zone="dav_ext_lock_zone zone=locks:1m;",
        more="dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK; dav_ext_lock zone=locks;",
    ) as share:
        yield share


@contextmanager
def _nginx(folder: Path, *, modules: str = "", zone: str = "", more: str = "") -> Iterator[Share]:
    port = _ground(folder)
    text = _NGINX.format(
        folder=folder,
        port=port,
        modules=modules,
        zone=zone,
        more=more,
        user="user root;" if os.geteuid() == 0 else "",
    )
    (folder / "conf").write_text(text)
    with _share(folder, port, program("nginx"), "-p", folder, "-c", folder / "conf", "-e", "stderr") as share:
        yield share


_APACHE = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/errors
{modules}
{user}
DocumentRoot {folder}/files
DavLockDB {folder}/locks
{more}
<Directory {folder}/files>
  Dav On
  Options Indexes
  Require all granted
</Directory>
"""
_APACHE_MODULES = ("mpm_event", "authz_core", "mime", "autoindex", "dav", "dav_fs")
_DEFLATE = """
AddOutputFilterByType DEFLATE text/plain
"""


@contextmanager
def apache(folder: Path, *modules: str, more: str = "") -> Iterator[Share]:
    """Apache's mod_dav: it enforces conditions by itself; its tags are weak for a second after a change."""
    port = _ground(folder)
    home = existing("/usr/lib/apache2/modules/mod_dav.so").parent
    wanted = [*_APACHE_MODULES, *modules]
    loads = "\n".join(
        f"LoadModule {name}_module {home}/mod_{name}.so"
        for name in wanted
        if (home / f"mod_{name}.so").exists()
    )
    (folder / "types").write_text("text/plain txt\n")
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    text = _APACHE.format(folder=folder, port=port, modules=loads, user=user, more=more)
    (folder / "conf").write_text(text + f"\nTypesConfig {folder}/types\n")
    if user:
        for path in (folder, folder / "files"):
            path.chmod(0o777)
    command = (program("apache2"), "-f", folder / "conf", "-DFOREGROUND")
    with _share(folder, port, *command) as share:
        yield share


@contextmanager
def apache_gzip(folder: Path) -> Iterator[Share]:
    """The same with mod_deflate, which appends `-gzip` to the tags of what it compresses."""
    with apache(folder, "filter", "deflate", more=_DEFLATE) as share:
        yield share


_LIGHTTPD = """
server.port = {port}
server.bind = "127.0.0.1"
server.document-root = "{folder}/files"
server.modules = ( "mod_webdav" )
server.upload-dirs = ( "{folder}" )
webdav.activate = "enable"
webdav.sqlite-db-name = "{folder}/locks.db"
mimetype.assign = ( ".txt" => "text/plain" )
"""


@contextmanager
def lighttpd(folder: Path) -> Iterator[Share]:
    """lighttpd's mod_webdav."""
    port = _ground(folder)
    existing("/usr/lib/lighttpd/mod_webdav.so")
    (folder / "conf").write_text(_LIGHTTPD.format(folder=folder, port=port))
    with _share(folder, port, program("lighttpd"), "-D", "-f", folder / "conf") as share:
        yield share


_WSGIDAV = """
host: 127.0.0.1
port: {port}
server: cheroot
provider_mapping: {{"/": "{folder}/files"}}
simple_dc: {{user_mapping: {{"*": {users}}}}}
http_authenticator: {{accept_basic: true, accept_digest: {digest}, default_to_digest: {digest}}}
verbose: 1
lock_storage: true
property_manager: true
"""


@contextmanager
def wsgidav(folder: Path, *, users: str = "true", digest: str = "false") -> Iterator[Share]:
    """WsgiDAV: it enforces conditions by itself; tags of path, second and size."""
    package("wsgidav", "cheroot")
    port = _ground(folder)
    (folder / "conf.yaml").write_text(_WSGIDAV.format(folder=folder, port=port, users=users, digest=digest))
    command = (sys.executable, "-m", "wsgidav.server.server_cli", "--config", folder / "conf.yaml")
    with _share(folder, port, *command) as share:
        yield share


@contextmanager
def rclone(folder: Path) -> Iterator[Share]:
    """rclone serve webdav, on Go's own handler: tags of nanoseconds and size, and files written in place."""
    port = _ground(folder)
    command = (program("rclone"), "serve", "webdav", folder / "files", "--addr", f"127.0.0.1:{port}")
    with _share(folder, port, *command, RCLONE_CONFIG=os.devnull) as share:
        yield replace(share, routes=[{"match": "/log.txt", "version": {"content": True}}])


SERVERS: dict[str, Start] = {
    "nginx": nginx,
    "nginx-ext": nginx_ext,
    "apache": apache,
    "lighttpd": lighttpd,
    "rclone": rclone,
    "wsgidav": wsgidav,
}
