"""The fields that we read of answers of the metrics APIs.

Source: k8s.io/metrics pkg/apis (metrics/v1beta1, external_metrics/v1beta1, custom_metrics/v1beta1
and v1beta2), and the discovery documents of k8s.io/apimachinery meta/v1.
"""

from __future__ import annotations

from typing import Final

import msgspec

from controller.kube.wire import WireMetadata, WireObject, WireQuantity


class WireItems(WireObject):
    """A list of any of these. Its items are decoded one by one, so that an unreadable one does not
    hide the others.
    """

    items: list[msgspec.Raw]


class WireContainerUsage(WireObject):
    """metrics.k8s.io ContainerMetrics."""

    name: str
    usage: dict[str, WireQuantity] = msgspec.field(default_factory=dict)


class WirePodMetrics(WireObject):
    """metrics.k8s.io PodMetrics; `window` is a Go duration."""

    metadata: WireMetadata
    timestamp: str
    window: str
    containers: list[WireContainerUsage]


class WireExternalValue(WireObject):
    """external.metrics.k8s.io ExternalMetricValue."""

    value: WireQuantity


class WireDescribedObject(WireObject):
    """core/v1 ObjectReference."""

    kind: str = ""
    name: str = ""


class WireMetricValue(WireObject):
    """custom.metrics.k8s.io MetricValue; its two versions name the window differently."""

    described_object: WireDescribedObject
    timestamp: str
    value: WireQuantity
    window_seconds: int | None = None
    window: int | None = None


class WireGroupVersion(WireObject):
    """meta/v1 GroupVersionForDiscovery."""

    version: str


class WireGroup(WireObject):
    """meta/v1 APIGroup."""

    versions: list[WireGroupVersion]


class WireApiResource(WireObject):
    """meta/v1 APIResource; `name` is the plural, with a slash for a subresource."""

    name: str
    kind: str


class WireResourceList(WireObject):
    """meta/v1 APIResourceList."""

    resources: list[WireApiResource]


ITEMS: Final = msgspec.json.Decoder(WireItems)
POD_METRICS: Final = msgspec.json.Decoder(WirePodMetrics)
EXTERNAL_VALUE: Final = msgspec.json.Decoder(WireExternalValue)
METRIC_VALUE: Final = msgspec.json.Decoder(WireMetricValue)
GROUP: Final = msgspec.json.Decoder(WireGroup)
RESOURCE_LIST: Final = msgspec.json.Decoder(WireResourceList)
