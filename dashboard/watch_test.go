package dashboard

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// A client that is slow misses snapshots, and what is kept for it does not grow.
func TestASlowClientSkips(t *testing.T) {
	s := &show{news: make(chan struct{})}
	var slow seen
	for range 10 * keptEvents {
		s.add(&multiprolab.WorkerReady{Worker: "worker/0"})
		s.tell([]byte("old"))
	}
	s.tell([]byte("new"))
	sample, events, ended, _ := s.next(&slow)
	require.Equal(t, "new", string(sample))
	require.Len(t, events, keptEvents)
	require.EqualValues(t, 10*keptEvents, events[keptEvents-1].Seq)
	require.False(t, ended)
	sample, events, _, more := s.next(&slow)
	require.Empty(t, sample)
	require.Empty(t, events)
	s.add(&multiprolab.WorkerReady{Worker: "worker/1"})
	s.tell(nil)
	<-more
	sample, events, _, _ = s.next(&slow)
	require.Empty(t, sample)
	require.Len(t, events, 1)
	s.end(errors.New("why"))
	_, _, ended, _ = s.next(&slow)
	require.True(t, ended)
}

// What is kept of a text is bounded, and can be written as JSON, whatever is in it.
func TestTextsAreBounded(t *testing.T) {
	long := strings.Repeat("<b>\x00\xff", 1<<20)
	for _, e := range []multiprolab.Event{
		&multiprolab.WorkerFailed{Worker: "w/0", Err: &multiprolab.WorkerDiedError{Worker: "w/0", Stderr: long}},
		&multiprolab.DeadLetter{Receiver: "w/0", Type: "t", Reason: long},
		&multiprolab.HandlerFailed{Receiver: "w/0", Type: "t", Err: errors.New(long)},
		&multiprolab.ProgramEnding{Cause: errors.New(long), Failed: true},
		&multiprolab.WorkerStopped{Worker: "w/0"},
		&multiprolab.EventsMissed{Count: 3},
	} {
		h := happened(e)
		require.LessOrEqual(t, len(h.Text)+len(h.Detail), 3*(maxDetail+600), "%T", e) // a broken byte takes three
		require.NotContains(t, h.Text, "\n")
	}
	require.Nil(t, happened(&multiprolab.WorkerStarted{}))

	var dead []*multiprolab.DeadTask
	for range 2 * maxCorpses {
		e := &multiprolab.AttemptsError{Type: "t"}
		for range 2 * maxAttempts {
			e.Attempts = append(e.Attempts, errors.New(long))
		}
		dead = append(dead, &multiprolab.DeadTask{ID: 1 << 63, Type: "t", Err: e})
	}
	g := bury(dead)
	require.Equal(t, 2*maxCorpses, g.Total)
	require.Len(t, g.Tasks, maxCorpses)
	require.Len(t, g.Tasks[0].Attempts, maxAttempts)
	require.Equal(t, maxAttempts, g.Tasks[0].Earlier)
	require.LessOrEqual(t, len(g.Tasks[0].Attempts[0].Error), 3*maxStack+10)
}
