"""A stand-in for the Hugging Face hub: the part of its HTTP interface that creating,
committing and downloading models use, with its checks of tokens and checksums."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_" + "t" * 34


@dataclass
class Repo:
    """A repository: its commits are complete trees."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def add(self, tree, branch, message):
        oid = hashlib.sha1(f"{len(self.commits)}{message}".encode()).hexdigest()
        self.commits[oid] = tree
        self.branches[branch] = oid
        self.messages.append(message)
        return oid

    def resolve(self, revision):
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        return oid if oid in self.commits else None


class Hub:
    """The state of the server, and every request that it got."""

    def __init__(self):
        self.repos = {}
        self.objects = {}
        self.requests = []
        self.fail_commits = False
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def tree(self, repo, revision="main"):
        found = self.repos[repo]
        return found.commits[found.resolve(revision)]


def is_large(path, size):
    return size > 1_000_000 or path.endswith(".safetensors")


def git_oid(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *args):
        pass

    def _read(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().strip(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status, content=b"", **headers):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _handle(self):
        place = urlsplit(self.path)
        body = self._read()
        self.hub.requests.append((self.command, unquote(place.path)))
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        for method, pattern, name in _ROUTES:
            match = re.fullmatch(pattern, place.path)
            if match and self.command in method.split():
                parts = [unquote(part) for part in match.groups()]
                self.query = parse_qs(place.query)
                # The address of an upload is a secret of its own.
                is_open = self.command in ("GET", "HEAD", "PUT")
                if not is_open and not allowed:
                    message = "Invalid username or password."
                    return self._answer(
                        401, {"error": message}, X_Error_Message=message
                    )
                return getattr(self, name)(body, allowed, *parts)
        return self._answer(404, {"error": f"no route {self.command} {self.path}"})

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _repo(self, name, allowed):
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not allowed):
            self._answer(404, {"error": "Not found"}, X_Error_Code="RepoNotFound")
            return None
        return repo

    def _commit(self, repo, revision):
        oid = repo.resolve(revision)
        if oid is None:
            self._answer(404, {}, X_Error_Code="RevisionNotFound")
        return oid

    def create(self, body, allowed):
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        url = f"{self.hub.url}/{name}"
        if asked["organization"] == "forbidden":
            return self._answer(
                403, {"error": "no rights"}, X_Error_Message="no rights"
            )
        if name in self.hub.repos:
            return self._answer(409, {"error": "exists", "url": url})
        repo = self.hub.repos[name] = Repo(asked.get("visibility") == "private")
        repo.add({".gitattributes": b"*.safetensors filter=lfs\n"}, "main", "initial")
        return self._answer(200, {"url": url, "id": name, "name": name})

    def validate(self, body, allowed):
        head = json.loads(body)["content"].split("---\n")
        errors = []
        try:
            data = yaml.safe_load(head[1])
            for entry in data.get("model-index", ()):
                for result in entry["results"]:
                    assert {"task", "dataset", "metrics"} <= set(result)
                    assert all({"type", "value"} <= set(m) for m in result["metrics"])
            assert re.fullmatch(r"[a-z0-9.-]+", data.get("license", "mit"))
        except (IndexError, yaml.YAMLError, KeyError, AssertionError) as error:
            errors.append({"message": repr(error)})
        return self._answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def info(self, body, allowed, name, revision="main"):
        repo = self._repo(name, allowed)
        oid = repo and self._commit(repo, revision)
        if oid:
            files = [{"rfilename": path} for path in repo.commits[oid]]
            answer = {"id": name, "sha": oid, "private": repo.private}
            self._answer(200, {**answer, "siblings": files, "tags": []})

    def list_files(self, body, allowed, name, revision):
        repo = self._repo(name, allowed)
        oid = repo and self._commit(repo, revision)
        if not oid:
            return
        rows = []
        for path, data in repo.commits[oid].items():
            row = {"type": "file", "path": path, "size": len(data)}
            row["oid"] = git_oid(data)
            if is_large(path, len(data)):
                sha = hashlib.sha256(data).hexdigest()
                row["lfs"] = {"oid": sha, "size": len(data), "pointerSize": 130}
            rows.append(row)
        self._answer(200, rows)

    def refs(self, body, allowed, name):
        if repo := self._repo(name, allowed):

            def rows(found, kind):
                return [
                    {"name": key, "ref": f"refs/{kind}/{key}", "targetCommit": oid}
                    for key, oid in found.items()
                ]

            branches, tags = rows(repo.branches, "heads"), rows(repo.tags, "tags")
            self._answer(200, {"branches": branches, "tags": tags, "converts": []})

    def branch(self, body, allowed, name, branch):
        if repo := self._repo(name, allowed):
            repo.branches[branch] = repo.branches["main"]
            self._answer(200, {})

    def tag(self, body, allowed, name, revision):
        repo = self._repo(name, allowed)
        oid = repo and self._commit(repo, revision)
        if oid:
            tag = json.loads(body)["tag"]
            if tag in repo.tags:
                return self._answer(409, {"error": "exists"})
            repo.tags[tag] = oid
            self._answer(200, {})

    def preupload(self, body, allowed, name, revision):
        repo = self._repo(name, allowed)
        oid = repo and self._commit(repo, revision)
        if not oid:
            return
        files = []
        for asked in json.loads(body)["files"]:
            mode = "lfs" if is_large(asked["path"], asked["size"]) else "regular"
            row = {"path": asked["path"], "uploadMode": mode, "shouldIgnore": False}
            files.append(row)
        self._answer(200, {"files": files})

    def lfs_batch(self, body, allowed, name):
        objects = []
        for asked in json.loads(body)["objects"]:
            row = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.objects:
                upload = {"href": f"{self.hub.url}/lfs/{asked['oid']}"}
                verify = {"href": f"{self.hub.url}/lfs-verify"}
                row["actions"] = {"upload": upload, "verify": verify}
            objects.append(row)
        self._answer(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, body, allowed, oid):
        if hashlib.sha256(body).hexdigest() != oid:
            return self._answer(400, {"error": "checksum"})
        self.hub.objects[oid] = body
        return self._answer(200)

    def lfs_verify(self, body, allowed):
        asked = json.loads(body)
        is_good = len(self.hub.objects.get(asked["oid"], b"")) == asked["size"]
        self._answer(200 if is_good else 404, {})

    def commit(self, body, allowed, name, revision):
        repo = self._repo(name, allowed)
        oid = repo and self._commit(repo, revision)
        if not oid:
            return
        if self.hub.fail_commits:
            return self._answer(500, {"error": "down"})
        tree, message = dict(repo.commits[oid]), ""
        for line in body.decode().splitlines():
            row = json.loads(line)
            value = row["value"]
            if row["key"] == "header":
                message = value["summary"]
            elif row["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                tree[value["path"]] = self.hub.objects[value["oid"]]
            elif row["key"] == "deletedFile":
                del tree[value["path"]]
            else:
                return self._answer(400, {"error": row["key"]})
        made = repo.add(tree, revision, message)
        url = f"{self.hub.url}/{name}/commit/{made}"
        answer = {"commitUrl": url, "commitOid": made, "pullRequestUrl": None}
        return self._answer(200, {**answer, "success": True})

    def resolve(self, body, allowed, name, revision, path):
        repo = self._repo(name, allowed)
        oid = repo and self._commit(repo, revision)
        if not oid:
            return
        data = repo.commits[oid].get(path)
        if data is None:
            return self._answer(404, {}, X_Error_Code="EntryNotFound")
        large = is_large(path, len(data))
        etag = hashlib.sha256(data).hexdigest() if large else git_oid(data)
        self._answer(200, data, ETag=f'"{etag}"', X_Repo_Commit=oid)


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES = [
    ("POST", "/api/repos/create", "create"),
    ("POST", "/api/validate-yaml", "validate"),
    ("GET", f"/api/models/{_NAME}/revision/([^/]+)", "info"),
    ("GET", f"/api/models/{_NAME}/tree/([^/]+)", "list_files"),
    ("GET", f"/api/models/{_NAME}/refs", "refs"),
    ("POST", f"/api/models/{_NAME}/branch/([^/]+)", "branch"),
    ("POST", f"/api/models/{_NAME}/tag/([^/]+)", "tag"),
    ("POST", f"/api/models/{_NAME}/preupload/([^/]+)", "preupload"),
    ("POST", f"/api/models/{_NAME}/commit/([^/]+)", "commit"),
    ("GET", f"/api/models/{_NAME}", "info"),
    ("POST", f"/{_NAME}.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", "/lfs/([0-9a-f]+)", "lfs_put"),
    ("POST", "/lfs-verify", "lfs_verify"),
    ("GET HEAD", f"/{_NAME}/resolve/([^/]+)/(.+)", "resolve"),
]
