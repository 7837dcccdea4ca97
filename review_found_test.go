package multiprolab_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestReviewRoom(t *testing.T) {
	l := startLab(t, &multiprolab.Config{QueueLimit: 1}, workers("xa", 1))
	got, err := multiprolab.Do[string](short(t), l, "x-room", stopAt{})
	require.NoError(t, err)
	t.Log(got)
}

func TestReviewJoinQueued(t *testing.T) {
	l := newLab(t, nil, workers("xa", 1))
	multiprolab.HandleCall(l, "x", func(context.Context, string) (string, error) { return "main", nil })
	g := newGate(t)
	strays := make(chan string, 100)
	multiprolab.Handle(l, "stray", func(_ context.Context, text string) error { strays <- text; return nil })
	joined := make(chan error, 1)
	begun := make(chan struct{})
	multiprolab.Handle(l, "join", func(ctx context.Context, _ string) error {
		close(begun)
		joined <- l.Tasks().Join(ctx)
		return nil
	})
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	require.NoError(t, multiprolab.Send(bounded(t), l, "xa/0", "x-call-main", stopAt{Gate: g.addr()}))
	v := g.expect(t, "handler")
	_, err := multiprolab.Submit[string](bounded(t), l, "x-nothing", stopAt{}, nil)
	require.NoError(t, err)
	require.NoError(t, multiprolab.Send(bounded(t), l, "main", "join", ""))
	await(t, begun, "join")
	time.Sleep(50 * time.Millisecond)
	v.tell("go on")
	select {
	case err := <-joined:
		t.Log(err, await(t, strays, "a stray"))
	case <-time.After(8 * time.Second):
		t.Fatal("main and the worker wait for each other")
	}
}

func TestReviewPulled(t *testing.T) {
	l := startLab(t, nil, workers("xa", 1), workers("xp", 1))
	_, err := multiprolab.Do[string](short(t), l, "x-pull-submitter", stopAt{})
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	t.Log(err)
}
