package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The table of levels in the package documentation is true, row by row.
func TestLevelsOfEvents(t *testing.T) {
	died := &multiprolab.WorkerDiedError{Worker: "w/0"}
	stopped := &multiprolab.DeadLetter{Reason: multiprolab.ErrStopped.Error()}
	type row struct {
		ending bool
		events []multiprolab.Event
	}
	failed := func(err error) row { return row{false, []multiprolab.Event{&multiprolab.WorkerFailed{Err: err}}} }
	rows := map[string]row{
		"WorkerStarted, WorkerReady, WorkerStopped": {
			false,
			[]multiprolab.Event{&multiprolab.WorkerStarted{}, &multiprolab.WorkerReady{}, &multiprolab.WorkerStopped{}},
		},
		"WorkerFailed: a crash, a lie, an error, a failed start": {
			false,
			[]multiprolab.Event{
				&multiprolab.WorkerFailed{Err: died, Restart: true},
				&multiprolab.WorkerFailed{Err: died},
				&multiprolab.WorkerFailed{
					Err: &multiprolab.RemoteError{},
				},
				&multiprolab.WorkerFailed{Err: &multiprolab.StartError{}},
			},
		},
		"WorkerFailed: a *MemoryLimitError":              failed(&multiprolab.MemoryLimitError{Died: died}),
		"WorkerFailed: a *HangError by HeartbeatTimeout": failed(&multiprolab.HangError{Died: died, Silent: true}),
		"WorkerFailed: a *HangError by HandlerTimeout":   failed(&multiprolab.HangError{Died: died}),
		"WorkerFailed: Planned, past the grace of a task": {
			false,
			[]multiprolab.Event{&multiprolab.WorkerFailed{Err: died, Planned: true}},
		},
		"WorkerFailed: Planned, it did not leave in time": {false, []multiprolab.Event{multiprolab.LeftLate(died)}},
		"DeadLetter": {
			false,
			[]multiprolab.Event{&multiprolab.DeadLetter{Reason: "no handler"}, stopped},
		},
		"DeadLetter when the program ends": {true, []multiprolab.Event{stopped}},
		"HandlerFailed": {
			false,
			[]multiprolab.Event{
				&multiprolab.HandlerFailed{Err: errors.New("x")},
				&multiprolab.HandlerFailed{Err: context.Canceled},
			},
		},
		"HandlerFailed by the end of the program": {
			true,
			[]multiprolab.Event{&multiprolab.HandlerFailed{Err: fmt.Errorf("x: %w", context.Canceled)}},
		},
		"ProgramEnding that was asked for": {
			true,
			[]multiprolab.Event{&multiprolab.ProgramEnding{Cause: multiprolab.ErrExit}},
		},
		"ProgramEnding by an error": {
			true,
			[]multiprolab.Event{&multiprolab.ProgramEnding{Cause: died, Failed: true}},
		},
	}
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^//\t(\S.*?)  +(DEBUG|INFO|WARN|ERROR)$`).FindAllStringSubmatch(string(doc), -1)
	require.Len(t, found, len(rows))
	for _, m := range found {
		r, ok := rows[m[1]]
		require.True(t, ok, "no events are known for %q", m[1])
		for _, e := range r.events {
			require.Equal(t, m[2], multiprolab.LevelOf(e, r.ending).String(), "%q: %+v", m[1], e)
		}
	}
}

// recordsOf returns the records of a lab's log with a text.
func recordsOf(l *lab, text string) (found []string) {
	for line := range strings.Lines(l.log.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// expiring is a context whose deadline passes when the test says so.
type expiring struct {
	context.Context
	over chan struct{}
}

func (c *expiring) Done() <-chan struct{} { return c.over }

func (c *expiring) Err() error {
	select {
	case <-c.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// A kill that ends a task past its time, or past its cancellation, is no error in the log; a crash
// is.
func TestPlannedKillIsNoErrorInTheLog(t *testing.T) {
	l, _ := startPolicy(t, nil)
	for life, spin := range []func() error{
		func() error {
			_, err := multiprolab.DoWith[int](bounded(t), l, "policy-spin", nil, &multiprolab.TaskOptions{Timeout: 20 * time.Millisecond, Grace: 20 * time.Millisecond})
			return err
		},
		func() error {
			ctx := &expiring{bounded(t), make(chan struct{})}
			go func() { // ends when the task has begun, or with the patience of the test
				for l.Tasks().Stats().Running == 0 && ctx.Context.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				close(ctx.over)
			}()
			_, err := multiprolab.DoWith[int](ctx, l, "policy-spin", nil, &multiprolab.TaskOptions{Grace: 20 * time.Millisecond})
			return err
		},
	} {
		require.Error(t, spin())
		failed := waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Life == life+1 })
		require.True(t, failed.Planned, "%+v", failed)
		require.True(t, failed.Restart)
	}
	require.Len(t, recordsOf(l, "worker killed with its task"), 2)
	require.Empty(t, recordsOf(l, slog.LevelError.String()))
	_, err := multiprolab.Do[int](bounded(t), l, "third-time", "exit 1")
	require.Error(t, err)
	require.False(t, waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Life == 3 }).Planned)
	require.Len(t, recordsOf(l, "level=ERROR"), 1)
}

var _ = program("die-with-letters", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	time.Sleep(time.Hour) // until it is killed
	return "", nil
})

// What one death has lost is one record with the number and the first of them, and an event for
// each.
func TestDeadLettersOfOneDeathAreOneRecord(t *testing.T) {
	for _, n := range []int{1, 2, 500} {
		l := startLab(t, nil, workers("prog", 1))
		future, err := multiprolab.Submit[string](
			bounded(t),
			l,
			"program",
			order{"die-with-letters", ""},
			&multiprolab.TaskOptions{Grace: time.Millisecond},
		)
		require.NoError(t, err)
		eventually(t, "the task to run", func() bool { return l.Tasks().Stats().Running == 1 })
		for range n {
			require.NoError(t, multiprolab.Send(bounded(t), l, "prog/0", "note", "lost"))
		}
		future.Cancel()
		waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 2 })
		require.NoError(t, multiprolab.Send(bounded(t), l, "prog/0", "note", "kept"))
		notes, err := multiprolab.Call[[]string](bounded(t), l, "prog/0", "notes", nil)
		require.NoError(t, err)
		lost := n + 1 - len(notes) // what had not been sent yet goes to the replacement
		eventually(t, "the events", func() bool { return len(eventsOf[*multiprolab.DeadLetter](l)) == lost })
		records := recordsOf(l, "not delivered")
		require.LessOrEqual(t, len(records), 1)
		if lost > 1 {
			require.Contains(t, records[0], fmt.Sprint("count=", lost))
			require.Contains(t, records[0], "level=WARN")
		}
	}
}

// The documentation lists all that the library logs at INFO, apart from events.
func TestInfoRecordsAreListed(t *testing.T) {
	doc, err := os.ReadFile("docdata.go")
	require.NoError(t, err)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	found := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		records := regexp.MustCompile(`(?:\.Info\(\s*"multiprolab: |\.log\(slog\.LevelInfo, ")([^"]*)"`)
		for _, m := range records.FindAllStringSubmatch(string(text), -1) {
			found++
			require.Contains(t, string(doc), "//\t"+m[1]+"  ", "%s logs it", name)
		}
		count := func(what string) int { return len(regexp.MustCompile(what).FindAllString(string(text), -1)) }
		known := `\.Info\(\s*"multiprolab: |\.log\(slog\.LevelInfo, |text = slog.LevelInfo, |level >= slog.LevelInfo`
		require.Equal(t, count(`\.Info\(|LevelInfo`), count(known), name)
	}
	require.Equal(t, 7, found)
}
