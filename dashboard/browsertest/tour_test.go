package browsertest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// guide is examples/tour, as it runs in a terminal beside the tab.
type guide struct {
	t     *testing.T
	enter io.Writer     // takes the Enter of who looks
	lines *bufio.Reader // what the tour prints
}

// tour builds and starts examples/tour, which ends with the test.
func tour(t *testing.T) (g *guide, url string) {
	path := filepath.Join(t.TempDir(), "tour.exe")
	build := exec.Command("go", "build", "-o", path, "./examples/tour")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.Command(path, "-addr", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	enter, err := cmd.StdinPipe()
	require.NoError(t, err)
	said, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	late := time.AfterFunc(4*patience, func() { _ = cmd.Process.Kill() }) // a hang is a failure
	g = &guide{t: t, enter: enter, lines: bufio.NewReader(said)}
	t.Cleanup(func() {
		if t.Failed() {
			_ = cmd.Process.Kill() // its workers end with it
		}
		_, _ = io.Copy(io.Discard, said) // until it has ended
		late.Stop()
		err := cmd.Wait()
		require.True(t, t.Failed() || err == nil, "%v", err)
	})
	return g, g.hear(regexp.MustCompile(`The page beside this tour is (\S+)`))
}

// hear reads what the tour prints up to a line of a pattern, and returns the part in parentheses.
func (g *guide) hear(pattern *regexp.Regexp) string {
	g.t.Helper()
	for {
		line, err := g.lines.ReadString('\n')
		require.NoError(g.t, err, "the tour has ended without %v", pattern)
		if found := pattern.FindStringSubmatch(line); found != nil {
			return found[1]
		}
	}
}

// next lets the tour go on.
func (g *guide) next() {
	g.t.Helper()
	_, err := io.WriteString(g.enter, "\n")
	require.NoError(g.t, err)
}

// The page shows what each step of examples/tour says. Pictures of it, in the middle of the last step,
// are those of the README.
func TestTheTourAsThePageShowsIt(t *testing.T) {
	g, url := tour(t)
	b := open(t, url, 1280, 880)                                                   // up to the end of a panel
	b.until(`document.querySelectorAll("#processes-table tbody tr").length === 8`) // main, 2 pools, 5 workers
	done := regexp.MustCompile(`-> (.*)`)
	for step := range 9 {
		if *pictures != "" { // who looks reads the text of the step
			b.until(fmt.Sprintf(`performance.now() > %d`, 7000*(step+1)))
		}
		g.next()
		g.hear(done)
	}
	b.shows("#dead-list", "the toast is burnt")
	b.shows("#events-list", "cook/")
	b.shows("#types-table", "spin")
	if *pictures != "" {
		b.until(`performance.now() > 70000`)
	}
	g.next()
	b.until(`[...document.querySelectorAll("#processes-table .state")]
		.filter((e) => e.textContent === "busy").length > 2`)
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.present("tour-" + scheme)
	}
	g.hear(done)
	for _, name := range strings.Fields("cook/0 cook/1 cook/2 cook/3") {
		b.until(fmt.Sprintf(`[...document.querySelectorAll("#processes-table tr")].some((tr) =>
			tr.textContent.startsWith(%q) && tr.textContent.includes(%q))`, name, multiprolab.StateReady))
	}
	require.Empty(t, b.errors())
	g.next()
}
