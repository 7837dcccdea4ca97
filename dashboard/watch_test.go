package dashboard

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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
	all := 0
	for _, task := range g.Tasks {
		for _, a := range task.Attempts {
			require.NotEmpty(t, a.Error)
			all += len(a.Error)
		}
	}
	require.Less(t, all, 4<<20)
}

// What is kept of the last minute is bounded, in number and in size.
func TestTheHistoryIsBounded(t *testing.T) {
	s := &multiprolab.Stats{Time: time.Unix(1e9, 0)}
	long := strings.Repeat("x", 200)
	for i := range 1000 {
		s.Workers = append(s.Workers, multiprolab.WorkerStats{
			Name: fmt.Sprint(long, i), LastDeath: &multiprolab.DeathStats{Time: s.Time, Err: long},
			Running: make([]multiprolab.RunningStats, 1),
		})
		s.Queues = append(s.Queues, multiprolab.QueueStats{Name: fmt.Sprint(long, i)})
	}
	var h history
	for range 1000 {
		h = h.with(s)
		s.Time = s.Time.Add(100 * time.Millisecond)
	}
	size := 0
	for _, m := range h {
		size += len(m.text)
	}
	require.Less(t, len(h), 70)
	require.Less(t, size, 8<<20)
	require.Greater(t, h[0].at, s.Time.Add(-span-time.Second))
	require.Greater(t, s.Time.Sub(h[0].at), span-time.Second)
	require.Empty(t, h.since(s.Time))
}
