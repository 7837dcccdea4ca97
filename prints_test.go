package multiprolab_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// A worker process prints before anything else of this package runs in it, long before Run.
func init() {
	if role := proc.Current(); role != nil && role.Path[0] == "printer" {
		fmt.Println("before main")
	}
}

var _ = worker("printer", func(ctx context.Context, w *multiprolab.Worker) error {
	fmt.Println("in setup")
	multiprolab.HandleTask(
		w,
		"print",
		func(_ context.Context, what string) (string, error) { return what, printAs(what) },
	)
	multiprolab.HandleCall(
		w,
		"print-call",
		func(_ context.Context, what string) (string, error) { return what, printAs(what) },
	)
	w.OnExit(func(context.Context) error {
		fmt.Print("at exit, without an end of line")
		return nil
	})
	return nil
})

const (
	floodLines = 100_000
	floodLine  = "a line of the flood, so long that a hundred thousand of them are ten megabytes, more or less, number "
)

func printAs(what string) error {
	kind, arg, _ := cutSpace(what)
	switch kind {
	case "line":
		fmt.Println(arg)
	case "part":
		_, err := os.Stdout.WriteString(arg)
		return err
	case "flood":
		var b bytes.Buffer
		for i := range floodLines {
			fmt.Fprintln(&b, floodLine+strconv.Itoa(i))
		}
		_, err := os.Stdout.Write(b.Bytes())
		return err
	case "junk": // all bytes there are, and what looks like a frame
		junk, err := hex.DecodeString(arg)
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(junk)
		return err
	default:
		return printUnixAs(kind, arg)
	}
	return nil
}

// linesOf returns what a worker printed, as Config.Stdout got it.
func linesOf(stdout *buffer, name string) []string {
	var own []string
	for line := range strings.SplitSeq(strings.TrimSuffix(stdout.String(), "\n"), "\n") {
		text, ok := strings.CutPrefix(line, name+": ")
		if ok {
			own = append(own, text)
		}
	}
	return own
}

// E01: what a worker prints reaches Config.Stdout, in order, whole, with the worker's name, and
// does no harm to the wire.
func TestE01_PrintsReachConfigStdout(t *testing.T) {
	stdout := &buffer{} // not that of the lab, which is printed when the test fails
	l := newLab(t, &multiprolab.Config{Stdout: stdout}, workers("printer", 2))
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	junk := []byte("mp\x01\x09\x00\x00")
	for i := range 256 {
		if i != '\n' {
			junk = append(junk, byte(i))
		}
	}
	for _, what := range []string{"line hello", "part half a line, ", "line and the rest", "flood", "junk " + hex.EncodeToString(append(junk, '\n')), "line last"} {
		for i := range 2 {
			if i > 0 && what == "flood" {
				continue
			}
			got, err := multiprolab.Call[string](bounded(t), l, fmt.Sprint("printer/", i), "print-call", what)
			require.NoError(t, err)
			require.Equal(t, what, got)
		}
		_, err := multiprolab.Do[string](bounded(t), l, "print", "part ")
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	for line := range strings.SplitSeq(strings.TrimSuffix(stdout.String(), "\n"), "\n") {
		if !strings.HasPrefix(line, "printer/0: ") && !strings.HasPrefix(line, "printer/1: ") {
			require.Fail(t, "a line without its worker's name", "%.200q", line)
		}
	}
	for i := range 2 {
		got := linesOf(stdout, fmt.Sprint("printer/", i))
		want := []string{"before main", "in setup", "hello", "half a line, and the rest"}
		for n := range floodLines * (1 - i) { // the first alone
			want = append(want, floodLine+strconv.Itoa(n))
		}
		want = append(want, string(junk), "last", "at exit, without an end of line")
		require.True(t, len(want) == len(got), "%d lines instead of %d", len(got), len(want))
		for n := range want {
			if want[n] != got[n] {
				require.Equal(t, want[n], got[n], "line %d of printer/%d", n, i)
			}
		}
	}
	require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
}

var _ = scenario("prints", func() {
	app := multiprolab.New(nil)
	app.RegisterWorker("printer", setups["printer"], nil)
	if err := app.Start(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println("main prints")
	for _, what := range []string{"line hello", "part half a line, ", "line and the rest", "flood", "junk " + hex.EncodeToString([]byte("mp\x01\x00\xff\n"))} {
		if _, err := multiprolab.Do[string](context.Background(), app, "print", what); err != nil {
			panic(err)
		}
	}
	if err := app.Close(); err != nil {
		panic(err)
	}
	fmt.Println("\nthe end of main")
})

// E01: without Config.Stdout the prints go to main's own stdout as they are.
func TestE01_PrintsReachMainsStdout(t *testing.T) {
	p := startMain(t, "prints")
	require.NoError(t, p.wait(t))
	lines := strings.Split(p.out.String(), "\n")
	require.Equal(
		t,
		[]string{"before main", "in setup", "main prints", "hello", "half a line, and the rest", floodLine + "0"},
		lines[:6],
	)
	require.Equal(
		t,
		[]string{
			floodLine + strconv.Itoa(floodLines-1),
			"mp\x01\x00\xff",
			"at exit, without an end of line",
			"the end of main",
			"",
		},
		lines[len(lines)-5:],
	)
	require.Len(t, lines, 5+floodLines+4)
}

// brokenWriter is a Config.Stdout whose disk is full.
type brokenWriter struct{ buffer }

func (b *brokenWriter) Write(p []byte) (int, error) {
	_, _ = b.buffer.Write(p)
	return 0, errors.New("no space left on device")
}

// A Config.Stdout or Config.Stderr that fails stops no worker that prints more than a pipe holds.
func TestE01_BrokenStdout(t *testing.T) {
	l := startLab(t, &multiprolab.Config{Stdout: &brokenWriter{}, Stderr: &brokenWriter{}}, workers("printer", 1))
	for _, what := range []string{"flood", "stderr", "line still here"} {
		got, err := multiprolab.Do[string](bounded(t), l, "print", what)
		require.NoError(t, err)
		require.Equal(t, what, got)
	}
}

// A line without an end is passed on in parts: it takes no memory without bound.
func TestE01_EndlessLine(t *testing.T) {
	stdout := &buffer{}
	l := newLab(t, &multiprolab.Config{Stdout: stdout}, workers("printer", 1))
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	const size = 1 << 20
	_, err := multiprolab.Do[string](bounded(t), l, "print", "part "+strings.Repeat("x", size))
	require.NoError(t, err)
	// A megabyte is not kept back for the end of the line.
	eventually(t, "the most of it", func() bool { return strings.Count(stdout.String(), "x") > size/2 })
	require.NoError(t, l.Close())
	require.Equal(t, size+1, strings.Count(stdout.String(), "x"), "and the one of \"at exit\"")
	for _, line := range linesOf(stdout, "printer/0") {
		require.LessOrEqual(t, len(line), 200<<10)
	}
}
