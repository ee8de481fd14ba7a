//go:build !linux

package files

import "errors"

// A notifier does not exist here: feeds find changes by looking.
type notifier struct{}

func newNotifier(func()) (*notifier, error) { return nil, errors.ErrUnsupported }

func (*notifier) watch(string, bool) error  { return errors.ErrUnsupported }
func (*notifier) unwatch(string)            {}
func (*notifier) each(func(happening)) bool { return true }
func (*notifier) close()                    {}
