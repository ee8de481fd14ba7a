package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// The numbers that users of tools know failures by.
const (
	Unsuccessful = -1     // it did not work out, such as a time-out
	BadArgument  = -32602 // an argument names what is not there or cannot be
)

// A Failure is why a tool did not do what it was asked, in the form in which
// users of every image see it.
type Failure struct {
	Number  int // Unsuccessful or BadArgument
	Message string
}

// Failf makes a Failure.
func Failf(number int, format string, args ...any) error {
	return &Failure{number, fmt.Sprintf(format, args...)}
}

func (f *Failure) Error() string {
	return fmt.Sprintf("Execution failed. Error code:%d Error message: %s", f.Number, f.Message)
}

// Reason is what the system says of err, in the words of the C library that
// users and their programs look for, such as "No such file or directory".
func Reason(err error) string {
	text := err.Error()
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		text = number.Error()
	} else if e, ok := errors.AsType[*fs.PathError](err); ok {
		text = e.Err.Error()
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
