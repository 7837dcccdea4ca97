package combine_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/multiprolabtest"
	"github.com/multiprolab/multiprolab/profiles"
	"github.com/multiprolab/multiprolab/profiles/combine"
)

// spinHere spins until ctx ends. The profiles name it.
func spinHere(ctx context.Context) {
	for ctx.Err() == nil {
	}
}

// growHere takes memory. The profiles name it.
func growHere(n int) []byte { return make([]byte, n) }

func newApp() *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{Shutdown: multiprolab.KillAll})
	app.RegisterWorker("spinner", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.Handle(w, "spin", func(ctx context.Context, _ struct{}) error { spinHere(ctx); return nil })
		multiprolab.HandleCall(w, "grow", func(_ context.Context, n int) (int, error) { return len(growHere(n)), nil })
		return nil
	}, &multiprolab.WorkerConfig{Count: 2})
	app.RegisterWorker("keeper", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleCall(w, "grow", func(_ context.Context, n int) (int, error) { return len(growHere(n)), nil })
		return nil
	}, nil)
	return app
}

func TestMain(m *testing.M) {
	multiprolabtest.Hook(newApp)
	os.Exit(m.Run())
}

// start serves the profiles of a program.
func start(t *testing.T) (*multiprolab.Main, string) {
	t.Helper()
	app := newApp()
	require.NoError(t, app.Start(context.Background()))
	server := httptest.NewServer(profiles.Handler(app, &profiles.Config{Combine: combine.Combiner{}}))
	t.Cleanup(func() {
		server.Close()
		_ = app.Close() // it tells that workers that spin were killed
	})
	return app, server.URL + "/debug/pprof/"
}

// top is what the real tool prints of a profile.
func top(t *testing.T, args ...string) string {
	t.Helper()
	args = append([]string{"tool", "pprof", "-top", "-symbolize=none", "-nodefraction=0"}, args...)
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	return string(out)
}

// fetch reads a profile.
func fetch(t *testing.T, url string) *profile.Profile {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		require.FailNow(t, string(text))
	}
	p, err := profile.Parse(answer.Body)
	require.NoError(t, err)
	return p
}

// byWorker adds up the samples in whose stack is a function: the second value of each, if there is
// one.
func byWorker(p *profile.Profile, function string) map[string]int64 {
	sums := map[string]int64{}
	for _, s := range p.Sample {
		for _, l := range s.Location {
			for _, line := range l.Line {
				if strings.HasSuffix(line.Function.Name, "."+function) {
					sums[s.Label[combine.Label][0]] += s.Value[min(1, len(s.Value)-1)]
				}
			}
		}
	}
	return sums
}

// The real tool reads one profile of the whole program, in which each sample has its worker, also
// of workers that spin.
func TestMergedProfile(t *testing.T) {
	app, url := start(t)
	for _, worker := range []string{"spinner/0", "spinner/1"} {
		require.NoError(t, multiprolab.Send(context.Background(), app, worker, "spin", nil))
	}
	for try := 0; ; try++ { // a busy machine may give one of them no time in a second
		out := top(t, "-tagroot=worker", url+"profile?seconds=1")
		has := func(s string) bool { return strings.Contains(out, s) }
		if has("spinHere") && has("spinner/0") && has("spinner/1") {
			break
		}
		require.Less(t, try, 20, out)
	}
	p := fetch(t, url+"goroutine")
	workers := map[string]bool{}
	for _, s := range p.Sample {
		workers[s.Label[combine.Label][0]] = true
	}
	require.Equal(t, map[string]bool{"main": true, "spinner/0": true, "spinner/1": true, "keeper/0": true}, workers)
	require.Len(t, byWorker(p, "spinHere"), 2)
	require.Len(t, byWorker(fetch(t, url+"spinner/goroutine"), "spinHere"), 2, "of one pool")
	p = fetch(t, url+"keeper/goroutine")
	require.Equal(t, []string{"keeper/0"}, p.Sample[0].Label[combine.Label])
}

// What was added to a profile in some seconds is that alone, of one worker and of all.
func TestDelta(t *testing.T) {
	app, url := start(t)
	grow := func(worker string, size int) {
		_, err := multiprolab.Call[int](context.Background(), app, worker, "grow", size)
		require.NoError(t, err)
	}
	grow("spinner/0", 64<<20) // before
	require.Contains(t, byWorker(fetch(t, url+"allocs?gc=1"), "growHere"), "spinner/0")
	for _, of := range []string{"allocs", "keeper/allocs"} {
		got := make(chan *profile.Profile, 1)
		go func() { got <- fetch(t, url+of+"?seconds=1&gc=1") }()
		for len(got) == 0 {
			grow("keeper/0", 4<<20) // sooner or later between the two profiles that are compared
		}
		added := byWorker(<-got, "growHere")
		require.Positive(t, added["keeper/0"])
		require.NotContains(t, added, "spinner/0")
	}
}

// sample returns a profile with one sample.
func sample(t *testing.T, kind string, value, at int64) []byte {
	t.Helper()
	f := &profile.Function{ID: 1, Name: "f"}
	l := &profile.Location{ID: 1, Line: []profile.Line{{Function: f, Line: 1}}}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: kind, Unit: "count"}},
		Sample:     []*profile.Sample{{Location: []*profile.Location{l}, Value: []int64{value}}},
		Location:   []*profile.Location{l},
		Function:   []*profile.Function{f},
		TimeNanos:  at, DurationNanos: 5,
	}
	var b bytes.Buffer
	require.NoError(t, p.Write(&b))
	return b.Bytes()
}

// What some workers have not sent, or what makes no sense, is left out, and the profile says so.
func TestBrokenParts(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 130 {
		_, err := z.Write(make([]byte, 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	good := sample(t, "goroutine", 3, 0)
	var b bytes.Buffer
	require.NoError(t, combine.Combiner{}.Merge(&b, []profiles.Part{
		{Worker: "gone/0", Err: errors.New("it is being restarted")},
		{Worker: "good/0", Profile: good},
		{Worker: "other/0", Profile: sample(t, "space", 3, 0)},
		{Worker: "cut/0", Profile: good[:len(good)/2]},
		{Worker: "garbage/0", Profile: []byte("\xff\x00garbage")},
		{Worker: "bomb/0", Profile: bomb.Bytes()},
		{Worker: "good/1", Profile: good},
	}))
	p, err := profile.Parse(&b)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"good/0": 3, "good/1": 3}, func() map[string]int64 {
		sums := map[string]int64{}
		for _, s := range p.Sample {
			sums[s.Label[combine.Label][0]] += s.Value[0]
		}
		return sums
	}())
	require.Equal(t, int64(5), p.DurationNanos)
	comments := strings.Join(p.Comments, "\n")
	for _, says := range []string{
		"worker gone/0: it is being restarted", "worker other/0: its profile is of another kind",
		"worker cut/0: ", "worker garbage/0: ", "worker bomb/0: the profile is larger than",
	} {
		require.Contains(t, comments, "left out: "+says)
	}
	none := []profiles.Part{{Worker: "a/0", Err: errors.New("no")}}
	require.ErrorContains(t, combine.Combiner{}.Merge(io.Discard, none), "worker a/0: no")
}

// TestDifference: what after has more than before.
func TestDifference(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, combine.Combiner{}.Delta(&b, sample(t, "x", 3, 100), sample(t, "x", 10, 150)))
	p, err := profile.Parse(&b)
	require.NoError(t, err)
	require.Len(t, p.Sample, 1)
	require.Equal(t, []int64{7}, p.Sample[0].Value)
	require.Equal(t, int64(50), p.DurationNanos)
	require.Error(t, combine.Combiner{}.Delta(io.Discard, nil, []byte("x")))
	require.Error(t, combine.Combiner{}.Delta(io.Discard, sample(t, "x", 1, 1), sample(t, "y", 1, 1)))
}

// FuzzParts: whatever the profile of a worker is, it ends nothing else.
func FuzzParts(f *testing.F) {
	f.Add([]byte("x"))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, b []byte) {
		good := sample(t, "goroutine", 3, 0)
		parts := []profiles.Part{{Worker: "good/0", Profile: good}, {Worker: "bad/0", Profile: b}}
		require.NoError(t, combine.Combiner{}.Merge(io.Discard, parts))
		_ = combine.Combiner{}.Delta(io.Discard, good, b) // any error will do
	})
}

// Many profiles are one, each sample with its worker; what has no room beside the others is left
// out, and the profile says which that is.
func TestManyParts(t *testing.T) {
	good := sample(t, "goroutine", 3, 0)
	z, err := gzip.NewReader(bytes.NewReader(good))
	require.NoError(t, err)
	whole, err := io.ReadAll(z)
	require.NoError(t, err)
	const workers, fit = 200, 150
	var parts []profiles.Part
	for i := range workers {
		parts = append(parts, profiles.Part{Worker: fmt.Sprint("w/", i), Profile: good})
	}
	for room, want := range map[int]int{len(whole) * workers: workers, len(whole)*fit + 1: fit} {
		var b bytes.Buffer
		require.NoError(t, combine.Merged(&b, parts, room))
		p, err := profile.Parse(&b)
		require.NoError(t, err)
		require.Len(t, p.Sample, want)
		seen := map[string]bool{}
		for _, s := range p.Sample {
			require.Equal(t, []int64{3}, s.Value)
			seen[s.Label[combine.Label][0]] = true
		}
		require.Len(t, seen, want)
		require.Len(t, p.Function, 1)
		require.Len(t, p.Comments, workers-want)
		for i, text := range p.Comments {
			require.Contains(t, text, fmt.Sprintf("left out: worker w/%d: there is no room", want+i))
		}
	}
	require.ErrorContains(t, combine.Merged(io.Discard, parts, 1), "there is no room for its profile")
}
