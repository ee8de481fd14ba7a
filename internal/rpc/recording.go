package rpc

import (
	"context"

	"github.com/agentbay/agentbay"
)

type recordingParams struct {
	ID        agentbay.SessionID `param:"SessionId,required"`
	FrameRate int                `param:"FrameRate"`
	MaxBytes  int                `param:"MaxBytes"`
}

// startRecording begins to record a session's screen.
func startRecording(ctx context.Context, c *call, p recordingParams) (answer, error) {
	r, err := c.bay.StartRecording(ctx, p.ID, agentbay.RecordingSpec{FrameRate: p.FrameRate, MaxBytes: int64(p.MaxBytes)})
	return c.recording(r, err)
}

func stopRecording(ctx context.Context, c *call, p sessionParams) (answer, error) {
	r, err := c.bay.StopRecording(ctx, p.ID)
	return c.recording(r, err)
}

// recording answers with one recording.
func (c *call) recording(r *agentbay.Recording, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	c.completeRecording(r)
	return answer{data: r}, nil
}

// completeRecording makes its links whole.
func (c *call) completeRecording(r *agentbay.Recording) {
	r.URL, r.DataURL = c.origin.complete(r.URL), c.origin.complete(r.DataURL)
}

func listRecordings(ctx context.Context, c *call, p sessionParams) (answer, error) {
	all, err := c.bay.Recordings(ctx, p.ID)
	if err != nil {
		return answer{}, err
	}
	for i := range all {
		c.completeRecording(&all[i])
	}
	return answer{data: all}, nil
}
