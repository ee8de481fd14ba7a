package contexts

import (
	"errors"

	"github.com/agentbay/agentbay"
)

// damage says that a chunk cannot be had any more, whatever is tried.
type damage struct {
	id  ID
	why string
}

func (d *damage) Error() string { return "chunk " + d.id.String() + " " + d.why }

const remedy = `restore an earlier state with "agentbay context restore", or the blob store from a backup`

// blame makes err, if it is of damage, an error that names the file that has it.
func blame(err error, path string) error {
	if d := (*damage)(nil); errors.As(err, &d) {
		return agentbay.Wrap(err, agentbay.Internal, "the content of %q is damaged; %s", path, remedy)
	}
	return err
}

// blameList is blame for the list of files itself.
func blameList(err error, what string) error {
	if d := (*damage)(nil); errors.As(err, &d) {
		return agentbay.Wrap(err, agentbay.Internal, "the list of files is damaged (%s); %s", what, remedy)
	}
	return err
}
