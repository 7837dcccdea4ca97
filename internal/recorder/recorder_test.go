package recorder

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/fleet"
	"github.com/multiprolab/multiprolab/internal/queue"
)

var recordFlag = flag.String("record", "", "the file of a record that TestReplay replays")

// TestReplay replays a record of Main.WriteRecord or Config.RecordFile:
//
//	go test ./internal/recorder -run TestReplay -record FILE -v
func TestReplay(t *testing.T) {
	if *recordFlag == "" {
		t.Log("no -record is given")
		return
	}
	f, err := os.Open(*recordFlag)
	require.NoError(t, err)
	defer f.Close()
	out, err := Replay(f)
	require.NoError(t, err)
	t.Logf("%d effects of the rules of lives and %d of those of tasks are the same", out.Lives, out.Tasks)
	for _, lacks := range out.Lacks {
		t.Log(lacks)
	}
}

// flown makes a record of rules that random events happen to.
func flown(t *testing.T, seed uint64, events int) *bytes.Buffer {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	var c Counter
	lives := NewLives(&c, fleet.Config{Rand: random.Float64})
	tasks := NewTasks(&c, queue.Config{
		Limit: 50, DeadLimit: 10, Rand: random.Float64, Busy: func(queue.Worker) int { return random.IntN(3) },
	})
	p := lives.Add(fleet.PoolDesc{
		Count: 3, Limit: -1, Window: time.Minute, Delay: time.Second, Factor: 2, MaxDelay: time.Minute, Jitter: 0.5,
		Reset: time.Minute,
	})
	lives.Begin(0)
	now := time.Duration(1)
	slots := map[fleet.Slot]int{} // how far each life has come
	follow := func() {
		for _, e := range lives.Effects(nil) {
			if e.Kind == fleet.Spawn {
				slots[e.Slot] = 1
			}
		}
	}
	follow()
	tasks.AddPool(1, queue.PoolOptions{Queues: []string{"default"}, Prefetch: 4})
	for s := range queue.Slot(3) {
		tasks.AddSlot(s+1, 1)
		tasks.Enter(queue.Worker(s+1), s+1, []string{"a", "b"}, nil)
	}
	held := map[queue.Worker][]queue.ID{}
	workers := queue.Worker(3)
	var all []*queue.Task
	carry := func() {
		for _, e := range tasks.Effects(nil) {
			if e.Kind == queue.Assign {
				held[e.Worker] = append(held[e.Worker], e.Task.ID())
			}
		}
	}
	for range events {
		now += time.Duration(random.IntN(int(time.Second)))
		switch s := fleet.Slot(1 + random.IntN(3)); random.IntN(7) {
		case 0:
			switch slots[s] {
			case 1:
				lives.Started(s)
			case 2:
				lives.Greeted(s)
			case 3:
				lives.Up(s, now)
			}
			if slots[s] > 0 {
				slots[s]++
			}
		case 1:
			if slots[s] > 3 {
				slots[s] = 0
				lives.Ended(s, fleet.How{Failed: true, Blamed: random.IntN(2) == 0}, now)
			}
		case 2:
			lives.Tick(now)
			tasks.Tick(now)
		case 3, 4:
			o := &queue.Options{Attempts: 1 + random.IntN(3), Timeout: time.Duration(random.IntN(3)) * time.Second}
			o.Key = []string{"", "", "k", "l\n"}[random.IntN(4)]
			task := &queue.Task{Options: o, Number: uint64(random.IntN(2)), Size: random.IntN(100)}
			tasks.Submit(task, queue.Lane{Queue: "default", Type: string("ab"[random.IntN(2)])}, nil, true, now)
			all = append(all, task)
		case 5:
			w := queue.Worker(1 + random.IntN(int(workers)))
			if ids := held[w]; len(ids) > 0 {
				tasks.Began(w, ids[0], now)
				v := queue.Verdict{Kind: queue.Done}
				if random.IntN(3) == 0 {
					v = queue.Verdict{Kind: queue.Failed, Final: random.IntN(2) == 0}
				}
				tasks.Ended(w, ids[0], v, now)
				held[w] = ids[1:]
			}
		case 6:
			if len(all) > 0 {
				tasks.Cancel(all[random.IntN(len(all))], false, now)
			}
		}
		follow()
		carry()
	}
	_ = p
	return written(t, lives.Ring.Copy(), tasks.Ring.Copy())
}

func written(t *testing.T, rings ...*Ring) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, Write(&out, Header{Name: "main"}, rings...))
	return &out
}

// A record that holds all is replayed to its end, and the rules do the same.
func TestRecordIsReplayed(t *testing.T) {
	for seed := range uint64(50) {
		record := flown(t, seed, 300)
		out, err := Replay(record)
		require.NoError(t, err, "seed %d", seed)
		require.Empty(t, out.Lacks)
		require.Greater(t, out.Lives, 3)
		require.Greater(t, out.Tasks, 50)
	}
}

// A record that somebody has changed is refused, with the line where the rules do something else.
func TestTamperedRecordIsRefused(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(flown(t, 1, 140).String()), "\n")
	refused := 0
	for i, l := range lines {
		if !strings.Contains(l, `"event":"effect"`) {
			continue
		}
		with := func(in ...string) []string {
			return append(append(append([]string{}, lines[:i]...), in...), lines[i+1:]...)
		}
		for _, tampered := range [][]string{
			with(), with(strings.Replace(l, `"do":"`, `"do":"no `, 1)), with(strings.Replace(l, "}", `,"bits":255}`, 1)),
		} {
			_, err := Replay(strings.NewReader(strings.Join(tampered, "\n")))
			var differs *DiffersError
			require.ErrorAs(t, err, &differs, "%s", l)
			require.GreaterOrEqual(t, differs.Line, i+1)
			if len(tampered) == len(lines) {
				require.Equal(t, i+1, differs.Line)
			}
			refused++
		}
	}
	require.Greater(t, refused, 100)
}

// A record whose beginning is lost, or of which something was not kept, says where it ends.
func TestRecordSaysWhatItLacks(t *testing.T) {
	out, err := Replay(flown(t, 2, 20_000))
	require.NoError(t, err)
	require.Len(t, out.Lacks, 2)
	require.Regexp(t, `^the first \d+ events of the rules of lives are not in the record`, out.Lacks[0])
	require.Regexp(t, `^the first \d+ events of the rules of tasks are not in the record`, out.Lacks[1])

	var c Counter
	tasks := NewTasks(&c, queue.Config{Limit: 5, Rand: rand.Float64, Busy: func(queue.Worker) int { return 0 }})
	tasks.AddPool(1, queue.PoolOptions{Queues: []string{"default"}})
	tasks.AddSlot(1, 1)
	tasks.Fetch(1, 1, func(func(string) bool) {}, true)
	tasks.Enter(1, 1, []string{"a"}, nil)
	out, err = Replay(written(t, tasks.Ring.Copy()))
	require.NoError(t, err)
	require.Len(t, out.Lacks, 1)
	require.Contains(t, out.Lacks[0], "a fetch of the rules of tasks is not in the record")

	for _, no := range []string{"", "{}", "x", `{"record":"another"}`} {
		_, err := Replay(strings.NewReader(no))
		require.ErrorIs(t, err, errNoRecord)
	}
	_, err = Replay(strings.NewReader(`{"record":"multiprolab","version":7,"library":"v9.0.0","before":true}`))
	require.EqualError(t, err, `the record has version 7 of the format, and this is version 1: replay it with the `+
		`version of multiprolab that has written it, "v9.0.0"`)
}

// What one ring has lost does not keep the rest from being replayed.
func TestRoomsAreReplayedApart(t *testing.T) {
	var c Counter
	tasks, others := newTasks(&c), NewRing(&c, 10)
	submit(tasks, &queue.Options{})
	for range 11 {
		others.Add(Event{Kind: Died, Text: others.Name("w/0")})
	}
	out, err := Replay(written(t, tasks.Ring.Copy(), others.Copy()))
	require.NoError(t, err)
	require.Empty(t, out.Lacks)
	require.Positive(t, out.Tasks)

	lives := NewLives(&c, fleet.Config{Rand: rand.Float64})
	for range LifeEvents + 1 {
		lives.Tell(1)
	}
	out, err = Replay(written(t, tasks.Ring.Copy(), lives.Ring.Copy()))
	require.NoError(t, err)
	require.Len(t, out.Lacks, 1)
	require.Contains(t, out.Lacks[0], "rules of lives")
	require.Positive(t, out.Tasks)
}

// newTasks returns rules with one worker that handles "a", and their record.
func newTasks(c *Counter) *Tasks {
	t := NewTasks(c, queue.Config{
		Limit: 50, DeadLimit: 10, Rand: rand.Float64, Busy: func(queue.Worker) int { return 0 },
	})
	t.AddPool(1, queue.PoolOptions{Queues: []string{"default"}, Prefetch: 4})
	t.AddSlot(1, 1)
	t.Enter(1, 1, []string{"a"}, nil)
	t.Effects(nil)
	return t
}

// submit submits a task of the type "a".
func submit(t *Tasks, o *queue.Options) {
	t.Submit(&queue.Task{Options: o, Number: 1, Size: 1}, queue.Lane{Queue: "default", Type: "a"}, nil, true, 1)
	t.Effects(nil)
}

// A program that goes on with the queue of another counts on from it, and so does the replay.
func TestRecordOfASuccessorIsReplayed(t *testing.T) {
	tasks := newTasks(new(Counter))
	tasks.CountFrom(41)
	require.True(t, tasks.Bury(&queue.Task{}, queue.Lane{Queue: "default", Type: "a"}, 77))
	require.True(t, tasks.Bury(&queue.Task{}, queue.Lane{Queue: "default", Type: "b"}, 0))
	tasks.Enrol(&queue.Task{}, queue.Lane{Queue: "default", Type: "c"}, 0)
	submit(tasks, nil)
	record := written(t, tasks.Ring.Copy())
	require.Contains(t, record.String(), `"do":"assign","worker":1,"task":80`)
	out, err := Replay(record)
	require.NoError(t, err)
	require.Empty(t, out.Lacks)
	require.Positive(t, out.Tasks)
}

// Wherever a record breaks off, that is said, and nothing is said against the rules.
func TestRecordThatIsCutOff(t *testing.T) {
	record := flown(t, 3, 60).String()
	header := strings.Index(record, "\n") + 1
	for n := header; n < len(record)-1; n += 1 + n%29 {
		out, err := Replay(strings.NewReader(record[:n]))
		require.NoError(t, err, "%s", record[:n])
		require.Len(t, out.Lacks, 1)
		require.Contains(t, out.Lacks[0], "the record is cut off after line ")
	}
	_, err := Replay(strings.NewReader(record + "{}\n"))
	require.ErrorContains(t, err, "is behind its end")
	_, err = Replay(strings.NewReader(record[:header] + "x\n" + record[header:]))
	require.ErrorContains(t, err, "line 2 of the record cannot be read")
}

// Keys are the users': two that JSON cannot tell apart are not taken for one.
func TestKeysThatJSONCannotHold(t *testing.T) {
	tasks := newTasks(new(Counter))
	for _, key := range []string{"\xff", "\xfe", "\ufffd", "\n"} {
		submit(tasks, &queue.Options{Key: key})
	}
	out, err := Replay(written(t, tasks.Ring.Copy()))
	require.NoError(t, err)
	require.Len(t, out.Lacks, 1)
	require.Contains(t, out.Lacks[0], "the key of a task of the rules of tasks is not in the record")
}

// The texts of the events in the ring are there, however many others there were before.
func TestTextsOfTheLastEventsAreKept(t *testing.T) {
	var c Counter
	tasks := newTasks(&c)
	for i := range 3 * mostTexts {
		submit(tasks, &queue.Options{Key: fmt.Sprint("key ", i)})
		submit(tasks, nil)
	}
	text := written(t, tasks.Ring.Copy()).String()
	require.False(t, strings.Contains(text, "null"))
	require.Contains(t, text, fmt.Sprintf(`"key":"key %d"`, 3*mostTexts-1))
	for l := range strings.Lines(text) {
		if strings.Contains(l, `"event":"submit"`) {
			require.Contains(t, l, `"lane":"{\"Queue\":\"default\",\"Type\":\"a\"`)
		}
	}
}

// Each event of the rules is noted: what is not noted changes nothing, or comes with an opaque one.
func TestEachEventOfTheRulesIsNoted(t *testing.T) {
	quiet := map[string]string{
		"Queue": "StateOf Queues Types Paused Oldest Dead LastID Neglected Pauses HeldBack Worked Stats Live Residue Submitted " +
			"MayRefuse IsBlocked Throttled Helpers WouldHelp RoomHelpers SlotHelpers PoolHelpers Held Running Takers " +
			"Known Waiting Refilled Tried Stored Came Arrived Found Missed Unstored",
		"Fleet": "State Residue WaitsFor StateOf Check Waiting Restarts",
	}
	for rules, recorded := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[*queue.Queue](): reflect.TypeFor[*Tasks](),
		reflect.TypeFor[*fleet.Fleet](): reflect.TypeFor[*Lives](),
	} {
		known := strings.Fields(quiet[rules.Elem().Name()])
		for m := range rules.Methods() {
			of, ok := recorded.MethodByName(m.Name)
			require.True(t, ok)
			file, _ := runtime.FuncForPC(of.Func.Pointer()).FileLine(of.Func.Pointer())
			if slices.Contains(known, m.Name) {
				require.Equal(t, "<autogenerated>", file, m.Name)
			} else {
				require.NotEqual(t, "<autogenerated>", file, "%v.%s: have %v note it, or name it here if it "+
					"changes nothing", rules, m.Name, recorded)
			}
		}
	}
}

// However many events and names there are, a ring takes a bounded amount of memory, and a record of
// it is lines of JSON in the order of the events.
func TestRingIsBounded(t *testing.T) {
	var c Counter
	r := NewRing(&c, 100)
	for i := range 3 * mostTexts {
		text := r.Name(fmt.Sprint("worker\n\x00 ", i))
		r.Name(fmt.Sprint("no event has it ", i))
		r.Add(Event{Kind: Killed, Text: text, Slot: 1, N: 2})
		r.keep(TaskSlot, slot{1, 1})
		r.keep(TaskSlot, slot{1, 1})
	}
	r.Name(strings.Repeat("x", 2*mostText))
	require.LessOrEqual(t, len(r.texts.all), mostTexts)
	require.Len(t, r.setup, mostSetup)
	require.Len(t, r.events, 100)
	last := 0.0
	lines := strings.Split(strings.TrimSpace(written(t, r.Copy()).String()), "\n")
	require.Equal(t, lastLine, lines[len(lines)-1])
	for i, l := range lines[:len(lines)-1] {
		got := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(l), &got), l)
		if i > 0 {
			require.Greater(t, got["seq"], last)
			last = got["seq"].(float64)
		}
	}
}

// Whatever is in a file that is said to be a record, it is read without harm.
func FuzzReplay(f *testing.F) {
	f.Add([]byte(`{"record":"multiprolab","version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Replay(bytes.NewReader(b)) // an error is as good as an outcome
	})
}

func BenchmarkAdd(b *testing.B) {
	var c Counter
	r := NewRing(&c, TaskEvents)
	for b.Loop() {
		r.Add(Event{Kind: TaskBegan, Slot: 1, Task: 2, At: 3})
	}
}
