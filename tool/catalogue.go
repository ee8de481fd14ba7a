package tool

// The system family.
var (
	// Metrics reports what the session's machine uses.
	Metrics = define[None, MetricsOut](System, "get_metrics", "Report the session's CPU, memory, disk and network use.")
)

// The shell family.
var (
	// RunShell runs a command line with bash. A non-zero exit status is a failure
	// whose text is the same JSON; a time-out or a failed launch is a failure whose
	// text is a sentence, "Execution failed. Error code:-1 Error message: [timeout] …".
	RunShell = define[ShellIn, ShellOut](Shell, "shell", "Run a command line with bash and return its output and exit status.")
)

// The files family. Paths are absolute paths inside the session.
var (
	CreateDirectory = define[PathIn, Text](Files, "create_directory", "Create a directory and its parents; an existing one is fine.")
	DeleteFile      = define[PathIn, Text](Files, "delete_file", "Delete a file or a directory with all it holds.")
	EditFile        = define[EditFileIn, Text](Files, "edit_file", "Replace pieces of a text file, each at its first occurrence; all edits apply or none.")
	// FileInfo answers with lines "key: value": name, path, size, isDirectory,
	// isFile, permissions, created, modified, accessed, modTime, mode, owner, group.
	FileInfo = define[PathIn, Text](Files, "get_file_info", "Describe a file or directory.")
	// ListDirectory answers with lines "[DIR] name" and "[FILE] name".
	ListDirectory = define[PathIn, Text](Files, "list_directory", "List what a directory holds, not recursively.")
	MoveFile      = define[MoveFileIn, Text](Files, "move_file", "Move or rename a file or directory.")
	// ReadFile answers with the file's text, or with base64 of its bytes if format
	// is "binary". A window of a text file holds exactly the characters whose first
	// byte lies in it, so that windows that meet can be joined.
	ReadFile = define[ReadFileIn, Text](Files, "read_file", "Read a file, or a window of its bytes.")
	// ReadFiles answers, per file, with a line "<path>:" and then the content; files
	// are separated by a line "---".
	ReadFiles = define[ReadFilesIn, Text](Files, "read_multiple_files", "Read several text files at once.")
	// SearchFiles answers with absolute paths, one a line, or "No matches found".
	SearchFiles = define[SearchFilesIn, Text](Files, "search_files", "Find files whose name matches a pattern, recursively.")
	WriteFile   = define[WriteFileIn, Text](Files, "write_file", "Write a file, creating its parent directories.")
	// FileChange answers with what changed since the last call for the same path;
	// the first call sets the mark and answers []. As a stream it pushes an empty
	// batch as soon as it watches, and then each batch of changes as it happens.
	// Every change is delivered once, by push or by call.
	FileChange = streaming[PathIn, []FileEvent](Files, "get_file_change", "Report what changed below a directory since the last call.")
)

// The code family.
var (
	// RunCode runs a piece of code in the session's interpreter of that language.
	// A failure of the code is a failure whose text is the same JSON. As a stream
	// its events are CodeEvents.
	RunCode = streaming[RunCodeIn, RunCodeOut](Code, "run_code", "Run code; variables and functions live on in the session.")
)

// None is the input of tools without arguments.
type None struct{}

// MetricsOut is what get_metrics answers. Memory and disk are in bytes, rates in
// kbytes a second, totals in kbytes, percentages from 0 to 100.
type MetricsOut struct {
	CPUCount    float64 `json:"cpu_count"`
	CPUUsedPct  float64 `json:"cpu_used_pct"`
	MemTotal    int64   `json:"mem_total"`
	MemUsed     int64   `json:"mem_used"`
	DiskTotal   int64   `json:"disk_total"`
	DiskUsed    int64   `json:"disk_used"`
	RxRateKByte float64 `json:"rx_rate_kbyte_per_s"`
	TxRateKByte float64 `json:"tx_rate_kbyte_per_s"`
	RxUsedKByte float64 `json:"rx_used_kbyte"`
	TxUsedKByte float64 `json:"tx_used_kbyte"`
	Timestamp   string  `json:"timestamp"` // RFC 3339, with offset
}

// ShellIn is a command line to run.
type ShellIn struct {
	Command   string            `json:"command" doc:"command line, run by bash"`
	TimeoutMS int64             `json:"timeout_ms,omitempty" doc:"kill the command and all it started after this many milliseconds; default 1000"`
	Cwd       string            `json:"cwd,omitempty" doc:"directory to run in; default the session's working directory"`
	Envs      map[string]string `json:"envs,omitempty" doc:"environment variables for this command only"`
}

// ShellOut is what a command did. Output that is not UTF-8 has its bad bytes
// replaced by U+FFFD; output past the bound ends in a line that says so.
type ShellOut struct {
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
	ExitCode int    `json:"exit_code"` // 128 + n after signal n
	TraceID  string `json:"traceId"`
}

// PathIn names a file or directory.
type PathIn struct {
	Path string `json:"path" doc:"absolute path in the session"`
}

// EditFileIn is a list of replacements. Both spellings of the dry run are in use.
type EditFileIn struct {
	Path    string `json:"path" doc:"absolute path in the session"`
	Edits   []Edit `json:"edits" doc:"replacements, applied in order"`
	DryRun  bool   `json:"dryRun,omitempty" doc:"only check that the edits apply"`
	DryRun2 bool   `json:"dry_run,omitempty" doc:"the same as dryRun"`
}

// An Edit replaces the first occurrence of OldText.
type Edit struct {
	OldText string `json:"oldText"`
	NewText string `json:"newText"`
}

// MoveFileIn is a rename.
type MoveFileIn struct {
	Source      string `json:"source" doc:"absolute path of what to move"`
	Destination string `json:"destination" doc:"absolute path it is to have"`
}

// ReadFileIn is a window of a file.
type ReadFileIn struct {
	Path   string `json:"path" doc:"absolute path in the session"`
	Offset int64  `json:"offset,omitempty" doc:"first byte of the window"`
	Length int64  `json:"length,omitempty" doc:"bytes in the window; 0 means to the end"`
	Format string `json:"format,omitempty" doc:"text, or binary for base64 of the bytes; default text"`
}

// ReadFilesIn is a list of files.
type ReadFilesIn struct {
	Paths []string `json:"paths" doc:"absolute paths in the session"`
}

// SearchFilesIn is a search by name. Clients send the excludes under two names,
// as a list or as one string with commas.
type SearchFilesIn struct {
	Path             string  `json:"path" doc:"absolute path of the directory to search"`
	Pattern          string  `json:"pattern" doc:"file name pattern with * and ?"`
	ExcludePatterns  Strings `json:"excludePatterns,omitempty" doc:"names to leave out, with what is below them"`
	ExcludePatterns2 Strings `json:"exclude_patterns,omitempty" doc:"the same as excludePatterns"`
}

// WriteFileIn is text to write.
type WriteFileIn struct {
	Path          string `json:"path" doc:"absolute path in the session"`
	Content       string `json:"content" doc:"text to write, or base64 if format is binary"`
	Mode          string `json:"mode,omitempty" doc:"overwrite, append or create_new; default overwrite"`
	Format        string `json:"format,omitempty" doc:"text, or binary if content is base64; default text"`
	CreateParents *bool  `json:"create_parent_dir,omitempty" doc:"create the directories above the file; default true"`
}

// A FileEvent is one change of a file or directory.
type FileEvent struct {
	EventType string `json:"eventType"` // create, modify or delete
	Path      string `json:"path"`
	PathType  string `json:"pathType"` // file or directory
}

// RunCodeIn is a piece of code.
type RunCodeIn struct {
	Code     string  `json:"code" doc:"source text"`
	Language string  `json:"language" doc:"python, javascript, r or java"`
	TimeoutS float64 `json:"timeout_s,omitempty" doc:"interrupt the code after this many seconds; default 60"`
}

// RunCodeOut is what a piece of code did.
type RunCodeOut struct {
	ExecutionError string   `json:"executionError,omitempty"` // "Name: message"; absent on success
	Result         []string `json:"result"`                   // each a JSON object of MIME types, with isMainResult
	Stdout         []string `json:"stdout"`
	Stderr         []string `json:"stderr"`
	Traceback      string   `json:"traceback,omitempty"`
	ErrorName      string   `json:"errorName,omitempty"`
	TraceID        string   `json:"traceId"`
	ExecutionTime  float64  `json:"execution_time"` // seconds
	ExecutionCount int      `json:"execution_count"`
}

// A CodeEvent is one event of a streamed run. Exactly one of the fields after
// Type is set, and the last event has Type "end".
type CodeEvent struct {
	Type   string         `json:"type"` // stdout, stderr, result, error or end
	Chunk  string         `json:"chunk,omitempty"`
	Result map[string]any `json:"result,omitempty"`
	End    *RunCodeOut    `json:"end,omitempty"` // without what was already sent: output and results
}
