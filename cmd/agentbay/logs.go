package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
)

// A logFilter selects lines of the server's log. What is empty selects all.
type logFilter struct{ requestID, session string }

func (a *app) logsCommand() *cobra.Command {
	var want logFilter
	var follow bool
	c := &cobra.Command{
		Use:   "logs",
		Short: "Print the server's log",
		Long: `Print what the server of --data wrote to its log, oldest first, whether it is
running or not. Every answer a bay gives has a request ID; the log has it too.`,
		Example: `  agentbay logs --request-id 5F0C2A11-7B1E-4E0F-9C55-0A1B2C3D4E5F
  agentbay logs --session $id -f
  agentbay logs -o json | jq 'select(.level=="ERROR")'`,
		Args: cobra.NoArgs,
		RunE: withContext(func(ctx context.Context, _ []string) error { return a.logs(ctx, want, follow) }),
	}
	c.Flags().StringVar(&want.requestID, "request-id", "", "only lines of this call")
	c.Flags().StringVar(&want.session, "session", "", "only lines about this session")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written from now")
	return c
}

func (a *app) logs(ctx context.Context, want logFilter, follow bool) error {
	printed := 0
	print := func(line []byte) {
		if want.match(line) {
			printed++
			a.printLogLine(line)
		}
	}
	for n := keptLogs; n >= 0; n-- {
		if err := readLog(ctx, oldLog(a.logFile(), n), follow && n == 0, print); err != nil {
			return err
		}
	}
	if printed == 0 && want.requestID != "" && !follow {
		return agentbay.Errorf(agentbay.NotFound, "no line of request %s in %s", want.requestID, a.logFile())
	}
	return nil
}

// match looks at the text first, as most lines are not wanted.
func (f logFilter) match(line []byte) bool {
	text := string(line)
	if !strings.Contains(text, f.requestID) && !strings.Contains(strings.ToUpper(text), strings.ToUpper(f.requestID)) || !strings.Contains(text, f.session) {
		return false
	}
	var fields struct {
		RequestID string `json:"request_id"`
		Session   string
	}
	if json.Unmarshal(line, &fields) != nil {
		return f == logFilter{}
	}
	return (f.requestID == "" || strings.EqualFold(fields.RequestID, f.requestID)) &&
		(f.session == "" || fields.Session == f.session)
}

func (a *app) printLogLine(line []byte) {
	if a.output == "json" {
		fmt.Fprintf(a.out, "%s\n", line)
		return
	}
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		fmt.Fprintf(a.out, "%s\n", line)
		return
	}
	stamp, level, message := fields["time"], fields["level"], fields["msg"]
	for _, shown := range []string{"time", "level", "msg"} {
		delete(fields, shown)
	}
	fmt.Fprintf(a.out, "%v %-5v %v", stamp, level, message)
	for _, k := range sortedKeys(fields) {
		fmt.Fprintf(a.out, " %s=%v", k, fields[k])
	}
	fmt.Fprintln(a.out)
}

// followPause is how often a followed log is looked at.
const followPause = 200 * time.Millisecond

// readLog calls f with every line of a log, and with those that are added if it
// is to follow. A log that is not there has none.
func readLog(ctx context.Context, name string, follow bool, f func(line []byte)) error {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) && !follow {
		return nil
	}
	if err != nil {
		return agentbay.Wrap(err, agentbay.Denied, "the log cannot be read; run as root, and on the right --data")
	}
	defer func() { file.Close() }()
	lines := bufio.NewReader(file)
	var part []byte
	for {
		piece, err := lines.ReadBytes('\n')
		part = append(part, piece...)
		if err == nil {
			f(part[:len(part)-1])
			part = part[:0]
			continue
		}
		if !errors.Is(err, io.EOF) || !follow {
			return nonEOF(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followPause):
		}
		if next := rotated(file, name); next != nil {
			file.Close()
			file = next
			lines.Reset(file)
		}
	}
}

func nonEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// rotated opens the log anew if file is no longer the one of that name.
func rotated(file *os.File, name string) *os.File {
	was, err := file.Stat()
	if err != nil {
		return nil
	}
	is, err := os.Stat(name)
	if err != nil || os.SameFile(was, is) {
		return nil
	}
	next, err := os.Open(name)
	if err != nil {
		return nil
	}
	return next
}
