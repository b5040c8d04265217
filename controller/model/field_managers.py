"""Field managers: who writes `spec.replicas`, as the API server notes it in managedFields."""

from __future__ import annotations

from typing import Final, NamedTuple

FIELD_MANAGER: Final = "agentdash"
"""Our own name as a writer."""


class Writer(NamedTuple):
    """A writer of sizes: what people call it, and what to do so that it leaves sizes to agentdash.

    `restores`: it goes on restoring the size of a manifest, however often others change it.
    """

    title: str
    to_do: str
    restores: bool = False


_ARGO_CD: Final = Writer(
    "Argo CD",
    "remove spec.replicas from the manifest, or list /spec/replicas under ignoreDifferences of the"
    " Application, with the sync option RespectIgnoreDifferences=true",
    restores=True,
)
_HELM: Final = Writer(
    "Helm", "leave spec.replicas out of the chart, so that upgrades keep the size"
)
_HPA: Final = Writer(
    "a HorizontalPodAutoscaler", "delete it, or take the pool out of the fleet file"
)
_UNKNOWN: Final = Writer(
    "", "remove its other autoscaler, or freeze the pool while somebody works on it"
)
_KUBECTL: Final = Writer(
    "a person or a script", "freeze the pool while somebody works on it, or pin or cap it instead"
)
_WRITERS: Final = {
    FIELD_MANAGER: Writer(
        "another agentdash", "stop one of the two, or let both use the same lease"
    ),
    # argoproj/argo-cd common.go ArgoCDSSAManager; before 2.5 the name of its program
    "argocd-controller": _ARGO_CD,
    "argocd-application-controller": _ARGO_CD,
    # fluxcd/kustomize-controller and fluxcd/helm-controller, main.go controllerName
    "kustomize-controller": Writer(
        "Flux", "remove spec.replicas from the manifests of its Kustomization", restores=True
    ),
    "helm-controller": Writer(
        "Flux",
        "leave spec.replicas out of the chart, or list /spec/replicas under driftDetection.ignore"
        " of its HelmRelease",
        restores=True,
    ),
    "helm": _HELM,
    "Helm": _HELM,
    "kube-controller-manager": _HPA,
    "keda": Writer("KEDA", "delete its ScaledObject, or take the pool out of the fleet file"),
}
_KUBECTL_PREFIX: Final = "kubectl"
_APPLY: Final = "Apply"
"""managedFields: the operation of a server-side apply, which owns what its manifest has."""


def writer(manager: str) -> Writer:
    """The writer with this field manager; one without a title if it is not a known one."""
    if manager.startswith(_KUBECTL_PREFIX):  # kubectl, kubectl-edit, kubectl-client-side-apply, …
        return _KUBECTL
    return _WRITERS.get(manager, _UNKNOWN)


def named(manager: str) -> str:
    """The writer as text: `argocd-controller (Argo CD)`; `another writer` if it is not known."""
    if not manager:
        return "another writer"
    title = writer(manager).title
    return f"{manager} ({title})" if title else manager


def reset_by(manager: str, operation: str) -> str:
    """What to do about an owner of `spec.replicas` that sets it back to a manifest's whenever it is
    synchronised, upgraded or applied; empty for one that does not. `operation` is that of its entry
    in managedFields.
    """
    found = writer(manager)
    if found.restores or found is _HELM:
        return found.to_do
    if operation == _APPLY:
        # Kubernetes, server-side apply, "Transferring ownership"
        return (
            "remove spec.replicas from the manifest that is applied, once agentdash has set the"
            " size: before that, applying without it sets 1"
        )
    return ""
