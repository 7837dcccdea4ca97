package multiprolab_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/recorder"
)

// recordOf returns the record of an app, and its lines.
func recordOf(t testing.TB, l *lab) (text string, lines []map[string]any) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, l.WriteRecord(&out))
	for line := range strings.Lines(out.String()) {
		got := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &got), line)
		lines = append(lines, got)
	}
	return out.String(), lines
}

// eventsIn returns the lines of a record about one kind of event of one room.
func eventsIn(lines []map[string]any, room, event string) (found []map[string]any) {
	for _, l := range lines {
		if l["room"] == room && l["event"] == event {
			found = append(found, l)
		}
	}
	return found
}

// chaotic runs tasks of which many kill their workers, and restarts, resizes and pauses meanwhile.
func chaotic(t *testing.T) *lab {
	l := startLab(t, nil, pool{"lab", &multiprolab.WorkerConfig{
		Count: 3, Spare: 1, RestartLimit: multiprolab.RestartLimit{Restarts: -1}, RestartDelay: time.Millisecond,
	}})
	var all []*multiprolab.Future[string]
	submit := func(typ string, body any, o *multiprolab.TaskOptions) {
		f, err := multiprolab.Submit[string](bounded(t), l, typ, body, o)
		require.NoError(t, err)
		all = append(all, f)
	}
	for i := range 60 {
		switch {
		case i%10 == 3:
			submit("die", []string{"exit 1", "SIGKILL", "panic"}[i/10%3], &multiprolab.TaskOptions{Attempts: 1 + i%2})
		case i%20 == 7:
			submit("spin", nil, &multiprolab.TaskOptions{Timeout: 10 * time.Millisecond, Grace: 10 * time.Millisecond})
		case i == 30:
			l.Tasks().Pause("")
			require.NoError(t, l.Resize("lab", 2))
			l.Tasks().Resume("")
		default:
			submit("echo", "x", nil)
		}
	}
	for _, f := range all {
		_, _ = f.Wait(bounded(t)) // many fail
	}
	require.NoError(t, l.Restart(bounded(t), "lab"))
	require.NoError(t, l.Close())
	return l
}

// A record tells each death, each kill and each assignment, and the rules do again what it tells.
func TestRecordOfARealRunIsReplayed(t *testing.T) {
	l := chaotic(t)
	text, lines := recordOf(t, l)
	out, err := recorder.Replay(strings.NewReader(text))
	require.NoError(t, err)
	require.Empty(t, out.Lacks)
	require.Greater(t, out.Lives, 50)
	require.Greater(t, out.Tasks, 200)

	died := map[string]int{}
	for _, e := range eventsIn(lines, "main", "death") {
		died[e["worker"].(string)]++
	}
	var starts []float64
	for _, e := range eventsOf[*multiprolab.WorkerStarted](l) {
		starts = append(starts, float64(e.PID))
	}
	var inRecord []float64
	for _, e := range eventsIn(lines, "main", "process") {
		inRecord = append(inRecord, e["pid"].(float64))
	}
	require.ElementsMatch(t, starts, inRecord)
	n := 0
	for _, k := range died {
		n += k
	}
	require.Equal(t, len(starts), n)
	kills := 0
	for _, e := range eventsIn(lines, "main", "kill") {
		if strings.HasPrefix(e["why"].(string), `task "spin"`) { // others are spares that had not started in the end
			kills++
		}
	}
	require.Equal(t, 3, kills)
	require.Len(t, eventsIn(lines, "tasks", "submit"), 59)
	assigned, began, outcomes := map[any]int{}, map[any]int{}, map[any]int{}
	for _, e := range lines {
		switch {
		case e["event"] == "effect" && e["do"] == "assign":
			assigned[e["task"]]++
		case e["room"] == "tasks" && e["event"] == "began":
			began[e["task"]]++
			require.LessOrEqual(t, began[e["task"]], assigned[e["task"]])
		case e["event"] == "effect" && e["do"] == "outcome":
			outcomes[e["task"]]++
			require.LessOrEqual(t, began[e["task"]], assigned[e["task"]])
		}
	}
	require.Len(t, outcomes, 59)
	for task, n := range outcomes {
		require.Equal(t, 1, n, "task %v", task)
	}
}

// What is changed in the record of a real run is found.
func TestTamperedRecordOfARealRun(t *testing.T) {
	text, _ := recordOf(t, chaotic(t))
	tampered := strings.Replace(text, `"do":"assign","worker":1`, `"do":"assign","worker":2`, 1)
	require.NotEqual(t, text, tampered)
	_, err := recorder.Replay(strings.NewReader(tampered))
	var differs *recorder.DiffersError
	require.ErrorAs(t, err, &differs)
	require.Equal(t, strings.Count(text[:strings.Index(text, `"do":"assign","worker":1`)], "\n")+1, differs.Line)
}

// A program that ends with an error leaves its record where the config says; one that ends well
// does not.
func TestRecordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	l := newLab(t, &multiprolab.Config{RecordFile: path}, pool{
		"lab", &multiprolab.WorkerConfig{
			RestartLimit: multiprolab.RestartLimit{Restarts: 1}, RestartDelay: time.Millisecond,
		},
	})
	require.NoError(t, l.Start(t.Context()))
	require.NoError(t, multiprolab.Send(t.Context(), l, "lab/0", "msg-die", "exit 1"))
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 2 })
	require.NoError(t, multiprolab.Send(t.Context(), l, "lab/0", "msg-die", "exit 1"))
	require.Error(t, l.Wait(bounded(t)))
	f, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(f), `"why":"multiprolab: worker lab/0`)
	out, err := recorder.Replay(bytes.NewReader(f))
	require.NoError(t, err)
	require.Empty(t, out.Lacks)
	left, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	require.Equal(t, []string{path}, left)

	well := filepath.Join(t.TempDir(), "record")
	l = newLab(t, &multiprolab.Config{RecordFile: well, InProcess: true}, workers("lab", 1))
	require.NoError(t, l.Start(t.Context()))
	require.NoError(t, l.Close())
	require.NoFileExists(t, well)
	require.NoError(t, l.WriteRecord(&bytes.Buffer{}), "also after the end")
	require.NoError(t, newLab(t, nil).WriteRecord(&bytes.Buffer{}), "and before the start")
}

// A program whose workers had to be killed in the end leaves its record, too.
func TestRecordFileOfAnEndByForce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	l := startLab(t, &multiprolab.Config{RecordFile: path}, workers("lab", 1))
	var killed *multiprolab.ShutdownError
	require.ErrorAs(t, l.Stop(bounded(t), multiprolab.KillAll), &killed)
	f, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(f), `"event":"kill","worker":"lab/0"`)
	require.Contains(t, string(f), `"why":"multiprolab: `)
}

// Where the record could not be written, the program does not start.
func TestRecordFileThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("an earlier record"), 0o600))
	for path, says := range map[string]string{
		dir:                            "it is there, and is no regular file",
		filepath.Join(dir, "no", "it"): "could not be written there",
		filepath.Join(file, "it"):      "could not be written there",
	} {
		l := newLab(t, &multiprolab.Config{RecordFile: path}, workers("lab", 1))
		var wrong *multiprolab.ConfigError
		require.ErrorAs(t, l.Start(t.Context()), &wrong)
		require.Equal(t, "Config.RecordFile", wrong.Field)
		require.ErrorContains(t, wrong, says)
	}
	l := startLab(t, &multiprolab.Config{RecordFile: file}, workers("lab", 1))
	require.NoError(t, l.Close())
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "an earlier record", string(kept), "a program that ends well leaves it")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// What tasks, messages and processes say is theirs: no record has it.
func TestRecordHoldsNoBodies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	l := startLab(t, &multiprolab.Config{RecordFile: path}, pool{
		"lab", &multiprolab.WorkerConfig{RestartDelay: time.Millisecond},
	})
	const secret = "hunter2"
	echo, err := multiprolab.Do[string](bounded(t), l, "echo", secret)
	require.NoError(t, err)
	require.Equal(t, secret, echo)
	_, err = multiprolab.Do[string](bounded(t), l, "no such type", secret)
	require.Error(t, err)
	_, err = multiprolab.Do[string](bounded(t), l, "die", "panic")
	require.Error(t, err)
	text, _ := recordOf(t, l)
	require.NotContains(t, text, secret)
	require.NotContains(t, text, "goroutine")
}

// A program that a panic of its main ends leaves its record and its trace. One that a fatal error of
// the runtime ends cannot.
func TestRecordFileOfAPanic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "record")
	out, err := runTestProgram(t, "panic", "panic", path)
	require.Error(t, err)
	require.Contains(t, out, "panic: of an action\n")
	require.Contains(t, out, "main.panics.func2")
	f, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(f), `"why":"a function of main has panicked"`)
	require.Contains(t, string(f), `"event":"process","worker":"w/0"`)

	out, err = runTestProgram(t, "panic", "fatal", filepath.Join(dir, "no record"))
	require.Error(t, err)
	require.Contains(t, out, "fatal error: ")
	require.NoFileExists(t, filepath.Join(dir, "no record"))
}
