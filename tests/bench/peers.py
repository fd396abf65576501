"""nginx as the backend, as a plain proxy, and with Lua and Redis as one would write the guard by hand."""

from __future__ import annotations

import json
from pathlib import Path

BODY = json.dumps({"id": 1, "text": "x" * 990})[:1023]

_COMMON = """
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log error;
{modules}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    client_max_body_size 0;
    {http}
}}
"""

_BACKEND = """
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder};
        default_type application/json;
        # Ignores every condition. /tagged/ has tags of its own, /plain/ has none.
        location /tagged/ {{
            if ($request_method = PUT) {{ add_header ETag '"v1"' always; return 204; }}
            add_header ETag '"v1"';
            return 200 '{body}';
        }}
        location /plain/ {{
            if ($request_method = PUT) {{ return 204; }}
            return 200 '{body}';
        }}
        location /big/plain/ {{ etag off; if_modified_since off; try_files /big.bin =404; }}
        location /big/tagged/ {{
            etag off;
            if_modified_since off;
            add_header ETag '"v1"';
            try_files /big.bin =404;
        }}
    }}
"""

_PROXY = """
    upstream backend {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{{port}} backlog=4096;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {extra}
        }}
    }}
"""

# Records the tag after each GET, by a timer, as header filters may not talk to Redis; compares it before each
# PUT. Between the comparison and the write anything may happen, after the write the record is stale until the
# next GET, and a tag that it makes itself is shown to nobody: what one would write, not what is right. Each
# of its 304s costs it a connection to the backend: nginx reads no body that it will not send.
_LUA = r"""
            access_by_lua_block {{
                if ngx.req.get_method() == "PUT" then
                    local wanted = ngx.var.http_if_match
                    if wanted then
                        local redis = require("nginx.redis"):new()
                        redis:set_timeout(1000)
                        if not redis:connect("127.0.0.1", {redis}) then return ngx.exit(503) end
                        local known = redis:get("lua:" .. ngx.var.uri)
                        redis:set_keepalive(60000, 256)
                        if known ~= ngx.null and known ~= wanted then return ngx.exit(412) end
                    end
                end
            }}
            header_filter_by_lua_block {{
                local tag = ngx.header["ETag"]
                if tag and ngx.var.http_if_none_match == tag then
                    ngx.status = 304
                    ngx.header.content_length = nil
                end
            }}
            body_filter_by_lua_block {{
                if not ngx.header["ETag"] then
                    ngx.ctx.body = (ngx.ctx.body or "") .. (ngx.arg[1] or "")
                elseif ngx.status == 304 then
                    ngx.arg[1] = nil
                end
            }}
            log_by_lua_block {{
                if ngx.req.get_method() ~= "GET" or (ngx.status ~= 200 and ngx.status ~= 304) then return end
                local tag = ngx.header["ETag"] or ('"' .. ngx.md5(ngx.ctx.body or "") .. '"')
                ngx.timer.at(0, function(_, uri, tag)
                    local redis = require("nginx.redis"):new()
                    redis:set_timeout(1000)
                    if redis:connect("127.0.0.1", {redis}) then
                        redis:set("lua:" .. uri, tag)
                        redis:set_keepalive(60000, 256)
                    end
                end, ngx.var.uri, tag)
            }}
"""

_LUA_MODULES = "\n".join(
    f"load_module /usr/lib/nginx/modules/{name}.so;" for name in ("ndk_http_module", "ngx_http_lua_module")
)
_LUA_HTTP = (
    'lua_package_path "/usr/share/lua/5.1/?.lua;;";'
    " lua_max_running_timers 4096; lua_max_pending_timers 65536;"
)


def backend(folder: Path, port: int) -> Path:
    """Writes the configuration of the backend, and a file of 1 MiB for it to serve."""
    (folder / "big.bin").write_bytes(b"0123456789abcdef" * 65536)
    for above in (folder, folder.parent):
        above.chmod(0o755)  # nginx's worker may be another user
    return _written(folder, "", _BACKEND.format(port=port, folder=folder, body=BODY))


def plain_proxy(folder: Path, backend_port: int) -> Path:
    """Writes the configuration of nginx as a plain proxy, with "{port}" in it."""
    return _written(folder, "", _PROXY.format(backend=backend_port, extra=""))


def lua_proxy(folder: Path, backend_port: int, redis_port: int) -> Path:
    """Writes the configuration of nginx with Lua and Redis, with "{port}" in it."""
    guard = _LUA.format(redis=redis_port)
    http = _LUA_HTTP + _PROXY.format(backend=backend_port, extra=guard)
    return _written(folder, _LUA_MODULES, http)


def _written(folder: Path, modules: str, http: str) -> Path:
    path = folder / "nginx.conf"
    path.write_text(_COMMON.format(folder=folder, modules=modules, http=http))
    return path
