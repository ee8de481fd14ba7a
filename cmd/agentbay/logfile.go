package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// maxLog is how long a log may get before it is put aside, keptLogs how many of
// those are kept.
const (
	maxLog   = 32 << 20
	keptLogs = 4
)

// A logFile is the server's log. When it is full it becomes <name>.1, what was
// that <name>.2, and so on.
type logFile struct {
	name string

	mu   sync.Mutex
	file *os.File // guarded by mu
	size int64    // guarded by mu
}

// openLog opens a log for appending, and makes it and its directory if need be.
func openLog(name string) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	l := &logFile{name: name}
	return l, l.open()
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write appends one line.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(line)) > maxLog {
		if err := l.rotateLocked(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

func (l *logFile) rotateLocked() error {
	for n := keptLogs; n > 0; n-- {
		err := os.Rename(oldLog(l.name, n-1), oldLog(l.name, n))
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	l.file.Close()
	return l.open()
}

// oldLog is the name of the log that was put aside n times ago.
func oldLog(name string, n int) string {
	if n == 0 {
		return name
	}
	return fmt.Sprintf("%s.%d", name, n)
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
