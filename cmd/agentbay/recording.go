package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
)

func (a *app) sessionRecord() *cobra.Command {
	var spec agentbay.RecordingSpec
	var megabytes int64
	var stop bool
	c := &cobra.Command{
		Use:   "record ID",
		Short: "Record a session's screen, or stop recording it",
		Long: `Record a session's screen, and print where the video is: an MP4 that can be
watched while it is recorded. It ends with --stop, when the session ends, or when
it is as large as it may be.`,
		Example: `  agentbay session record session-04bdwfj9q2k1mzt7x5r8c3vn6h
  agentbay session record --frame-rate 25 --max-size 100 session-04bdwfj9q2k1mzt7x5r8c3vn6h
  agentbay session record --stop session-04bdwfj9q2k1mzt7x5r8c3vn6h`,
		Args: cobra.ExactArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) (err error) {
			id := agentbay.SessionID(args[0])
			spec.MaxBytes = megabytes << 20
			var r *agentbay.Recording
			if stop {
				r, err = bay.StopRecording(ctx, id)
			} else {
				r, err = bay.StartRecording(ctx, id, spec)
			}
			if err != nil {
				return err
			}
			return a.print(recordingView(*r), func(w *tabwriter.Writer) { fmt.Fprintln(w, r.URL) })
		}),
	}
	c.Flags().BoolVar(&stop, "stop", false, "end the recording instead")
	c.Flags().IntVar(&spec.FrameRate, "frame-rate", 0, "frames a second, at most 30 (default 10)")
	c.Flags().Int64Var(&megabytes, "max-size", 0, "end before the video is longer than this many MiB (default 512)")
	return c
}

// A recordingView is a recording as it is printed.
type recordingView struct {
	Name      string                 `json:"name"`
	Kind      agentbay.RecordingKind `json:"kind"`
	URL       string                 `json:"url"`
	DataURL   string                 `json:"data_url"`
	StartedAt time.Time              `json:"started_at"`
	EndedAt   time.Time              `json:"ended_at,omitzero"`
	Reason    string                 `json:"reason,omitempty"`
	Bytes     int64                  `json:"bytes"`
}

func (a *app) sessionRecordings() *cobra.Command {
	return &cobra.Command{
		Use:     "recordings ID",
		Short:   "List the recordings of a session's screen and pages, also after its end",
		Example: "  agentbay session recordings session-04bdwfj9q2k1mzt7x5r8c3vn6h",
		Args:    cobra.ExactArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			all, err := bay.Recordings(ctx, agentbay.SessionID(args[0]))
			if err != nil {
				return err
			}
			views := make([]recordingView, len(all))
			for i, r := range all {
				views[i] = recordingView(r)
			}
			return a.print(views, func(w *tabwriter.Writer) { printRecordings(w, all) })
		}),
	}
}

func printRecordings(w *tabwriter.Writer, all []agentbay.Recording) {
	fmt.Fprintln(w, "KIND\tSTARTED\tLENGTH\tSIZE\tENDED\tURL")
	for _, r := range all {
		end, reason := r.EndedAt, r.Reason
		if end.IsZero() {
			end, reason = time.Now(), "not yet"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f MiB\t%s\t%s\n", r.Kind, r.StartedAt.Local().Format(time.DateTime),
			end.Sub(r.StartedAt).Round(time.Second), float64(r.Bytes)/(1<<20), reason, r.URL)
	}
}
