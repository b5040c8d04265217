"""What the metrics APIs answer, as far as we read it.

Source: k8s.io/metrics pkg/apis (metrics/v1beta1, external_metrics/v1beta1, custom_metrics/v1beta1
and v1beta2), and the discovery documents of k8s.io/apimachinery meta/v1.
"""

from __future__ import annotations

from typing import Final

import msgspec

from controller.kube.wire import Metadata, Quantity


class _Wire(msgspec.Struct, rename="camel"):
    pass


class Items(_Wire):
    """A list of any of these; without `items` it is no list at all. They are decoded one by one, so
    that an odd one spoils no other.
    """

    items: list[msgspec.Raw]


class ContainerUsage(_Wire):
    """metrics.k8s.io ContainerMetrics."""

    name: str
    usage: dict[str, Quantity] = {}


class PodMetrics(_Wire):
    """metrics.k8s.io PodMetrics; `window` is a Go duration."""

    metadata: Metadata
    timestamp: str
    window: str
    containers: list[ContainerUsage]


class ExternalValue(_Wire):
    """external.metrics.k8s.io ExternalMetricValue."""

    value: Quantity


class DescribedObject(_Wire):
    """core/v1 ObjectReference."""

    kind: str = ""
    name: str = ""


class MetricValue(_Wire):
    """custom.metrics.k8s.io MetricValue; its two versions spell the window differently."""

    described_object: DescribedObject
    timestamp: str
    value: Quantity
    window_seconds: int | None = None
    window: int | None = None


class GroupVersion(_Wire):
    """meta/v1 GroupVersionForDiscovery."""

    version: str


class Group(_Wire):
    """meta/v1 APIGroup."""

    versions: list[GroupVersion]


class ApiResource(_Wire):
    """meta/v1 APIResource; `name` is the plural, with a slash for a subresource."""

    name: str
    kind: str


class ResourceList(_Wire):
    """meta/v1 APIResourceList."""

    resources: list[ApiResource]


ITEMS: Final = msgspec.json.Decoder(Items)
POD_METRICS: Final = msgspec.json.Decoder(PodMetrics)
EXTERNAL_VALUE: Final = msgspec.json.Decoder(ExternalValue)
METRIC_VALUE: Final = msgspec.json.Decoder(MetricValue)
GROUP: Final = msgspec.json.Decoder(Group)
RESOURCE_LIST: Final = msgspec.json.Decoder(ResourceList)
