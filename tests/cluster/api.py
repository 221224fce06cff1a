"""The API of Kubernetes as plain JSON: models of a newer client would not know an older server."""

import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

Object = dict[str, Any]
GROUP_OF = {
    "pods": "api/v1",
    "endpoints": "api/v1",
    "secrets": "api/v1",
    "serviceaccounts": "api/v1",
    "services": "api/v1",
    "persistentvolumeclaims": "api/v1",
    "deployments": "apis/apps/v1",
    "replicasets": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "poddisruptionbudgets": "apis/policy/v1beta1",
    "horizontalpodautoscalers": "apis/autoscaling/v2beta2",
    "ingresses": "apis/networking.k8s.io/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
}


class ApiError(Exception):
    """What the API server refuses, in its own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Api:
    """One user of an API server."""

    def __init__(self, url: str, token: str, context: ssl.SSLContext) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=url, headers=headers, verify=context, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(self, path: str, **query: str) -> Any:
        return self._ask("GET", path, params=query)

    def create(self, path: str, body: Object) -> Any:
        return self._ask("POST", path, json=body)

    def merge(self, path: str, changes: Object) -> Any:
        """Merged into what is there."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._ask("PATCH", path, json=changes, headers=headers)

    def apply(self, path: str, manifest: Object) -> Any:
        """Server-side apply, which looks at every key."""
        headers = {"Content-Type": "application/apply-patch+yaml"}
        return self._ask("PATCH", path, json=manifest, headers=headers)

    def delete(self, path: str, **options: Any) -> Any:
        return self._ask("DELETE", path, json=options)

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._client.request(method, path, **arguments)
        if answer.headers.get("content-type", "").startswith("application/json"):
            body = answer.json()
        else:
            body = {"message": answer.text}
        if answer.is_error:
            raise ApiError(answer.status_code, body.get("message", ""))
        return body


def place(kind: str, namespace: str, name: str = "") -> str:
    """The path of objects of a kind, `pods` and the like, or of one of them."""
    return f"/{GROUP_OF[kind]}/namespaces/{namespace}/{kind}{name and '/'}{name}"


def wait_for(holds: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What `holds` returns when that is true of it.

    Raises: TimeoutError that says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s: {what}")
        time.sleep(0.1)
    return found
