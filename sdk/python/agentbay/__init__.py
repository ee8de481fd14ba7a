"""AgentBay: isolated sessions for AI agents.

    from agentbay import AgentBay, CreateSessionParams

    agent_bay = AgentBay()  # AGENTBAY_API_KEY and AGENTBAY_ENDPOINT say where
    with agent_bay.create(CreateSessionParams(image_id="code_latest")).session as session:
        print(session.code.run_code("1 + 1", "python").result)

AsyncAgentBay is the same to be awaited.
"""

from ._async.client import AsyncAgentBay
from ._async.code import AsyncCode
from ._async.command import AsyncCommand
from ._async.context import AsyncContextService
from ._async.context_manager import AsyncContextManager
from ._async.files import AsyncFileSystem
from ._async.git import AsyncGit
from ._async.session import AsyncSession
from ._async.transfer import AsyncFileTransfer
from ._common.code import (
    CodeExecutionResult,
    EnhancedCodeExecutionResult,
    ExecutionError,
    ExecutionLogs,
    ExecutionResult,
)
from ._common.config import Config
from ._common.contexts import (
    ClearContextResult,
    Context,
    ContextBinding,
    ContextBindingsResult,
    ContextBindResult,
    ContextFileEntry,
    ContextFileListResult,
    ContextHistoryResult,
    ContextInfoResult,
    ContextListParams,
    ContextListResult,
    ContextResult,
    ContextSnapshot,
    ContextStatusData,
    ContextSyncResult,
    FileUrlResult,
)
from ._common.exceptions import (
    AgentBayError,
    AgentError,
    APIError,
    AuthenticationError,
    BrowserError,
    ClearanceTimeoutError,
    CommandError,
    FileError,
    GitAuthError,
    GitConflictError,
    GitError,
    GitNotARepoError,
    GitNotFoundError,
    OssError,
    SessionError,
    WsCancelledError,
)
from ._common.files import (
    BinaryFileContentResult,
    DirectoryEntry,
    DirectoryListResult,
    FileChangeEvent,
    FileChangeResult,
    FileContentResult,
    FileInfoResult,
    FileSearchResult,
    MultipleFileContentResult,
)
from ._common.git import (
    GitBranchInfo,
    GitBranchListResult,
    GitCloneResult,
    GitCommitResult,
    GitFileStatus,
    GitInitResult,
    GitLogEntry,
    GitLogResult,
    GitStatusResult,
)
from ._common.log import AgentBayLogger, get_logger
from ._common.params import (
    AppManagerRule,
    BrowserContext,
    BrowserSyncMode,
    BWList,
    ContextSync,
    CreateSessionParams,
    DeletePolicy,
    DownloadPolicy,
    DownloadStrategy,
    ExtraConfigs,
    ExtractPolicy,
    Lifecycle,
    ListSessionParams,
    MappingPolicy,
    MobileExtraConfig,
    RecyclePolicy,
    SyncPolicy,
    UploadMode,
    UploadPolicy,
    UploadStrategy,
    WhiteList,
)
from ._common.results import (
    AdbUrlResult,
    ApiResponse,
    BaseResult,
    BoolResult,
    CommandResult,
    DeleteResult,
    GetSessionData,
    GetSessionResult,
    McpTool,
    McpToolResult,
    McpToolsResult,
    OperationResult,
    Response,
    SessionInfo,
    SessionListResult,
    SessionMetrics,
    SessionMetricsResult,
    SessionPauseResult,
    SessionResult,
    SessionResumeResult,
    SessionStatusResult,
)
from ._common.transfer import DownloadResult, UploadResult
from ._common.version import VERSION as __version__
from ._common.watch import WatchThread
from ._sync.client import AgentBay
from ._sync.code import Code
from ._sync.command import Command
from ._sync.context import ContextService
from ._sync.context_manager import ContextManager
from ._sync.files import FileSystem
from ._sync.git import Git
from ._sync.session import Session
from ._sync.transfer import FileTransfer
from .browser import BrowserOption, BrowserScreen, BrowserViewport
from .mobile import KeyCode

SyncGit = Git
log = get_logger("agentbay")

__all__ = [
    "APIError",
    "AdbUrlResult",
    "AgentBay",
    "AgentBayError",
    "AgentBayLogger",
    "AgentError",
    "ApiResponse",
    "AppManagerRule",
    "AsyncAgentBay",
    "AsyncCode",
    "AsyncCommand",
    "AsyncContextManager",
    "AsyncContextService",
    "AsyncFileSystem",
    "AsyncFileTransfer",
    "AsyncGit",
    "AsyncSession",
    "AuthenticationError",
    "BWList",
    "BaseResult",
    "BinaryFileContentResult",
    "BoolResult",
    "BrowserContext",
    "BrowserError",
    "BrowserOption",
    "BrowserScreen",
    "BrowserSyncMode",
    "BrowserViewport",
    "ClearContextResult",
    "ClearanceTimeoutError",
    "Code",
    "CodeExecutionResult",
    "Command",
    "CommandError",
    "CommandResult",
    "Config",
    "Context",
    "ContextBindResult",
    "ContextBinding",
    "ContextBindingsResult",
    "ContextFileEntry",
    "ContextFileListResult",
    "ContextHistoryResult",
    "ContextInfoResult",
    "ContextListParams",
    "ContextListResult",
    "ContextManager",
    "ContextResult",
    "ContextService",
    "ContextSnapshot",
    "ContextStatusData",
    "ContextSync",
    "ContextSyncResult",
    "CreateSessionParams",
    "DeletePolicy",
    "DeleteResult",
    "DirectoryEntry",
    "DirectoryListResult",
    "DownloadPolicy",
    "DownloadResult",
    "DownloadStrategy",
    "EnhancedCodeExecutionResult",
    "ExecutionError",
    "ExecutionLogs",
    "ExecutionResult",
    "ExtraConfigs",
    "ExtractPolicy",
    "FileChangeEvent",
    "FileChangeResult",
    "FileContentResult",
    "FileError",
    "FileInfoResult",
    "FileSearchResult",
    "FileSystem",
    "FileTransfer",
    "FileUrlResult",
    "GetSessionData",
    "GetSessionResult",
    "Git",
    "GitAuthError",
    "GitBranchInfo",
    "GitBranchListResult",
    "GitCloneResult",
    "GitCommitResult",
    "GitConflictError",
    "GitError",
    "GitFileStatus",
    "GitInitResult",
    "GitLogEntry",
    "GitLogResult",
    "GitNotARepoError",
    "GitNotFoundError",
    "GitStatusResult",
    "KeyCode",
    "Lifecycle",
    "ListSessionParams",
    "MappingPolicy",
    "McpTool",
    "McpToolResult",
    "McpToolsResult",
    "MobileExtraConfig",
    "MultipleFileContentResult",
    "OperationResult",
    "OssError",
    "RecyclePolicy",
    "Response",
    "Session",
    "SessionError",
    "SessionInfo",
    "SessionListResult",
    "SessionMetrics",
    "SessionMetricsResult",
    "SessionPauseResult",
    "SessionResult",
    "SessionResumeResult",
    "SessionStatusResult",
    "SyncGit",
    "SyncPolicy",
    "UploadMode",
    "UploadPolicy",
    "UploadResult",
    "UploadStrategy",
    "WatchThread",
    "WhiteList",
    "WsCancelledError",
    "__version__",
    "get_logger",
    "log",
]
