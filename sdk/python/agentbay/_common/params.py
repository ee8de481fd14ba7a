"""Parameters of sessions, and of the contexts mounted in them."""

from __future__ import annotations

import json
from dataclasses import InitVar, dataclass, field, fields
from enum import Enum
from typing import Any

from .screen import RecordingSpec
from .version import VERSION


class UploadStrategy(Enum):
    """When a context is uploaded."""

    UPLOAD_BEFORE_RESOURCE_RELEASE = "UploadBeforeResourceRelease"
    BEFORE_RESOURCE_RELEASE = UPLOAD_BEFORE_RESOURCE_RELEASE


class DownloadStrategy(Enum):
    """How a context is downloaded."""

    DOWNLOAD_ASYNC = "DownloadAsync"
    ASYNC = DOWNLOAD_ASYNC


class UploadMode(Enum):
    """Whether a context keeps single files or one archive."""

    FILE = "File"
    ARCHIVE = "Archive"


class Lifecycle(Enum):
    """How long data of a context is kept."""

    LIFECYCLE_1DAY = "Lifecycle_1Day"
    LIFECYCLE_3DAYS = "Lifecycle_3Days"
    LIFECYCLE_5DAYS = "Lifecycle_5Days"
    LIFECYCLE_10DAYS = "Lifecycle_10Days"
    LIFECYCLE_15DAYS = "Lifecycle_15Days"
    LIFECYCLE_30DAYS = "Lifecycle_30Days"
    LIFECYCLE_90DAYS = "Lifecycle_90Days"
    LIFECYCLE_180DAYS = "Lifecycle_180Days"
    LIFECYCLE_360DAYS = "Lifecycle_360Days"
    LIFECYCLE_FOREVER = "Lifecycle_Forever"


@dataclass
class UploadPolicy:
    """When and how a context is uploaded."""

    auto_upload: bool = True
    upload_strategy: UploadStrategy = UploadStrategy.UPLOAD_BEFORE_RESOURCE_RELEASE
    upload_mode: UploadMode = UploadMode.FILE

    @classmethod
    def default(cls) -> UploadPolicy:
        """The policy that holds if none is given."""
        return cls()


@dataclass
class DownloadPolicy:
    """When and how a context is downloaded."""

    auto_download: bool = True
    download_strategy: DownloadStrategy = DownloadStrategy.DOWNLOAD_ASYNC

    @classmethod
    def default(cls) -> DownloadPolicy:
        """The policy that holds if none is given."""
        return cls()


@dataclass
class DeletePolicy:
    """Whether files deleted in a session are deleted in its context."""

    sync_local_file: bool = True

    @classmethod
    def default(cls) -> DeletePolicy:
        """The policy that holds if none is given."""
        return cls()


@dataclass
class ExtractPolicy:
    """Whether archives are unpacked after download.

    extract_to_current_folder is another name of extract_current_folder.
    """

    extract: bool = True
    delete_src_file: bool = True
    extract_current_folder: bool = False
    extract_to_current_folder: InitVar[bool | None] = field(default=None, kw_only=True)

    def __post_init__(self, extract_to_current_folder: bool | None) -> None:
        if extract_to_current_folder is not None:
            self.extract_current_folder = extract_to_current_folder

    @classmethod
    def default(cls) -> ExtractPolicy:
        """The policy that holds if none is given."""
        return cls()


def _no_wildcards(paths: list[str]) -> None:
    for path in paths:
        if any(c in path for c in "*?["):
            raise ValueError(f"wildcards are not supported in path {path!r}; give exact paths")


@dataclass
class RecyclePolicy:
    """How long data is kept below paths, which are exact; "" means everywhere."""

    lifecycle: Lifecycle = Lifecycle.LIFECYCLE_FOREVER
    paths: list[str] = field(default_factory=lambda: [""])

    def __post_init__(self) -> None:
        _no_wildcards(self.paths)

    @classmethod
    def default(cls) -> RecyclePolicy:
        """The policy that holds if none is given."""
        return cls()


@dataclass
class WhiteList:
    """A path that is synchronised, without the paths excluded; all are exact."""

    path: str = ""
    exclude_paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        _no_wildcards([self.path, *self.exclude_paths])


@dataclass
class BWList:
    """The paths that are synchronised."""

    white_lists: list[WhiteList] = field(default_factory=list)


@dataclass
class MappingPolicy:
    """The path the data had on another operating system."""

    path: str = ""

    @classmethod
    def default(cls) -> MappingPolicy:
        """The policy that holds if none is given."""
        return cls()


@dataclass
class SyncPolicy:
    """How a context is kept in step with a session. What is None is the bay's default.

    The members may be given without "_policy", too: SyncPolicy(upload=...).
    """

    upload_policy: UploadPolicy | None = None
    download_policy: DownloadPolicy | None = None
    delete_policy: DeletePolicy | None = None
    extract_policy: ExtractPolicy | None = None
    recycle_policy: RecyclePolicy | None = None
    bw_list: BWList | None = None
    mapping_policy: MappingPolicy | None = None
    upload: InitVar[UploadPolicy | None] = field(default=None, kw_only=True)
    download: InitVar[DownloadPolicy | None] = field(default=None, kw_only=True)
    delete: InitVar[DeletePolicy | None] = field(default=None, kw_only=True)
    extract: InitVar[ExtractPolicy | None] = field(default=None, kw_only=True)
    recycle: InitVar[RecyclePolicy | None] = field(default=None, kw_only=True)
    mapping: InitVar[MappingPolicy | None] = field(default=None, kw_only=True)

    def __post_init__(
        self,
        upload: UploadPolicy | None,
        download: DownloadPolicy | None,
        delete: DeletePolicy | None,
        extract: ExtractPolicy | None,
        recycle: RecyclePolicy | None,
        mapping: MappingPolicy | None,
    ) -> None:
        self.upload_policy = self.upload_policy or upload
        self.download_policy = self.download_policy or download
        self.delete_policy = self.delete_policy or delete
        self.extract_policy = self.extract_policy or extract
        self.recycle_policy = self.recycle_policy or recycle
        self.mapping_policy = self.mapping_policy or mapping

    @classmethod
    def default(cls) -> SyncPolicy:
        """Every policy spelled out as it holds if none is given."""
        return cls(
            UploadPolicy(),
            DownloadPolicy(),
            DeletePolicy(),
            ExtractPolicy(),
            RecyclePolicy(),
            BWList([WhiteList()]),
        )

    def to_wire(self) -> dict[str, Any]:
        """The policy as the wire has it."""
        wire: dict[str, Any] = _to_wire(self)
        return wire


@dataclass
class ContextSync:
    """A context and where it is mounted.

    Creating a session waits until the context's files can be seen, unless
    beta_wait_for_completion is False.
    """

    context_id: str = ""
    path: str = ""
    policy: SyncPolicy | None = None
    beta_wait_for_completion: bool | None = None

    @classmethod
    def new(
        cls,
        context_id: str,
        path: str,
        policy: SyncPolicy | None = None,
        beta_wait_for_completion: bool | None = None,
    ) -> ContextSync:
        """The same as the constructor."""
        return cls(context_id, path, policy, beta_wait_for_completion)

    def with_policy(self, policy: SyncPolicy) -> ContextSync:
        """Set the policy and return self."""
        self.policy = policy
        return self

    def to_wire(self) -> dict[str, str]:
        """The mount as the wire has it."""
        wire = {"ContextId": self.context_id, "Path": self.path}
        if self.policy is not None:
            wire["Policy"] = json.dumps(self.policy.to_wire(), ensure_ascii=False)
        return wire


_WIRE_NAMES = {"extract_current_folder": "extractToCurrentFolder"}


def _to_wire(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [_to_wire(v) for v in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    members = {f.name: getattr(value, f.name) for f in fields(value)}
    return {_camel(name): _to_wire(v) for name, v in members.items() if v is not None}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return _WIRE_NAMES.get(name) or first + "".join(word.capitalize() for word in rest)


class BrowserSyncMode(Enum):
    """How much of a browser's data is kept: cookies only, or also what sites store and logins."""

    MINIMAL = "minimal"
    STANDARD = "standard"


@dataclass
class Extension:
    """An archive of a browser's extension; its ID is its name in the context that has it."""

    id: str
    name: str
    created_at: str | None = None


@dataclass
class ExtensionOption:
    """The extensions a browser loads: archives in a context, each by the name it was put by."""

    context_id: str
    extension_ids: list[str]

    def __post_init__(self) -> None:
        if not self.context_id.strip():
            raise ValueError("an extension option needs the ID of the context that has the extensions")
        if not self.extension_ids:
            raise ValueError("an extension option needs the ID of an extension at least")

    def mount(self) -> ContextSync:
        """Where the session has them, unpacked."""
        policy = SyncPolicy(
            upload_policy=UploadPolicy(auto_upload=False),
            extract_policy=ExtractPolicy(),
            bw_list=BWList([WhiteList("/" + name) for name in self.extension_ids]),
        )
        return ContextSync(self.context_id, EXTENSIONS_PATH, policy)


EXTENSIONS_PATH = "/tmp/extensions"
"""Where a browser has its extensions in a session, each in a folder of its own."""


@dataclass
class BrowserFingerprintContext:
    """A context that keeps a browser's fingerprint from one session to the next."""

    fingerprint_context_id: str

    def __post_init__(self) -> None:
        if not self.fingerprint_context_id.strip():
            raise ValueError("the fingerprint needs the ID of a context")

    def mount(self) -> ContextSync:
        """Where the session has it."""
        policy = SyncPolicy(bw_list=BWList([WhiteList("/fingerprint.json")]))
        return ContextSync(self.fingerprint_context_id, BROWSER_FINGERPRINT_PATH, policy)


@dataclass
class BrowserContext:
    """A context that keeps a browser's data from one session to the next. Caches are not kept.

    fingerprint_context is one that keeps the fingerprint of a browser that is opened
    with fingerprint_persistent.
    """

    context_id: str
    auto_upload: bool = True
    sync_mode: BrowserSyncMode = BrowserSyncMode.STANDARD
    extension_option: ExtensionOption | None = None
    fingerprint_context: BrowserFingerprintContext | None = None

    def mounts(self) -> list[ContextSync]:
        """Where the session has what is kept, the extensions and the fingerprint."""
        kept = _COOKIES if self.sync_mode is BrowserSyncMode.MINIMAL else [*_COOKIES, *_SITE_DATA]
        policy = SyncPolicy(
            upload_policy=UploadPolicy(auto_upload=self.auto_upload),
            bw_list=BWList([WhiteList(path) for path in kept]),
        )
        profile = ContextSync(self.context_id, BROWSER_DATA_PATH, policy)
        more = [self.extension_option, self.fingerprint_context]
        return [profile, *(option.mount() for option in more if option)]


BROWSER_DATA_PATH = "/tmp/agentbay_browser"
"""Where a browser keeps its data in a session."""

BROWSER_FINGERPRINT_PATH = "/tmp/browser_fingerprint"
"""Where a browser keeps its fingerprint in a session."""

_COOKIES = ["/Local State", "/Default/Cookies", "/Default/Cookies-journal"]

_SITE_DATA = [
    "/Default/" + name
    for name in (
        *("Local Storage", "IndexedDB", "Session Storage", "Preferences", "Secure Preferences"),
        *("Login Data", "Login Data-journal", "Login Data For Account", "Login Data For Account-journal"),
        *("Web Data", "Web Data-journal", "Affiliation Database", "Affiliation Database-journal"),
        *("TransportSecurity", "Network Persistent State"),
    )
]


@dataclass
class AppManagerRule:
    """Which apps a phone may have: rule_type is White or Black."""

    rule_type: str = ""
    app_package_name_list: list[str] = field(default_factory=list)


@dataclass
class MobileExtraConfig:
    """How a phone is set up."""

    lock_resolution: bool = False
    app_manager_rule: AppManagerRule | None = None
    hide_navigation_bar: bool | None = None
    uninstall_blacklist: list[str] | None = None
    simulate_config: Any = None


@dataclass
class ExtraConfigs:
    """Set-up that only some images know."""

    mobile: MobileExtraConfig | None = None

    def to_wire(self) -> dict[str, Any]:
        """The set-up as the wire has it."""
        wire: dict[str, Any] = _to_wire(self)
        return wire


@dataclass
class CreateSessionParams:
    """What session to create.

    image_id defaults to linux_latest. A session is released once it has been
    idle for idle_release_timeout seconds, by default 300. While a person has
    control of its screen, the agent's input is refused, or waits if on_take_over
    is "wait". With record the screen is recorded from the start.
    """

    labels: dict[str, str] | None = None
    image_id: str | None = None
    idle_release_timeout: int | None = None
    context_syncs: list[ContextSync] | None = None
    browser_context: BrowserContext | None = None
    policy_id: str | None = None
    beta_network_id: str | None = None
    enable_browser_replay: bool | None = None
    extra_configs: ExtraConfigs | None = None
    framework: str | None = None
    load_skills: bool | None = None
    skill_names: list[str] | None = None
    on_take_over: str | None = None
    record: RecordingSpec | bool | None = None

    def __post_init__(self) -> None:
        self.labels = self.labels or {}
        self.context_syncs = self.context_syncs or []

    def to_wire(self) -> dict[str, object]:
        """The parameters as the wire has them; what is None is the bay's to choose."""
        return {
            "ImageId": self.image_id or None,
            "Labels": self.labels or None,
            "Timeout": self.idle_release_timeout,
            "PersistenceDataList": [mount.to_wire() for mount in self.mounts()] or None,
            "McpPolicyId": self.policy_id or None,
            "NetworkId": self.beta_network_id or None,
            "EnableRecord": self.enable_browser_replay,
            "ExtraConfigs": self.extra_configs.to_wire() if self.extra_configs else None,
            "LoadSkill": self.load_skills or None,
            "Skills": self.skill_names or None,
            "OnTakeOver": self.on_take_over or None,
            "Record": self._recording(),
            "SdkStats": _sdk_stats(self.framework or ""),
        }

    def _recording(self) -> dict[str, int] | None:
        spec = RecordingSpec() if self.record is True else self.record
        return spec.to_wire() if spec else None

    def mounts(self) -> list[ContextSync]:
        """Every context that is mounted, that of the browser included."""
        syncs = list(self.context_syncs or [])
        if self.browser_context:
            syncs += self.browser_context.mounts()
        return syncs


@dataclass
class ListSessionParams:
    """One page of a listing of sessions."""

    max_results: int = 10
    next_token: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def _sdk_stats(framework: str) -> dict[str, object]:
    return {
        "source": "sdk",
        "sdk_language": "python",
        "sdk_version": VERSION,
        "is_release": VERSION != "0.0.0",
        "framework": framework,
    }
