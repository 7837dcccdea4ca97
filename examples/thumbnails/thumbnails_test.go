package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab" // also what the binaries are built of: a change of it ends a cached result
)

// hanging bounds what would otherwise wait for ever. Nothing takes nearly as long.
const hanging = 2 * time.Minute

var binary string // the program, built by TestMain

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "thumbnails")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "thumbnails.exe")
		args := []string{"build", "-ldflags=-w", "-o", binary}
		if underRace() {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			panic(string(out))
		}
		return m.Run()
	}())
}

// underRace reports whether this test was built with the race detector; the program then is, too.
func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// memoryLimited reports whether the decoders have a hard limit; see memory_linux.go and
// memory_other.go.
func memoryLimited() bool { return runtime.GOOS == "linux" && !underRace() }

// program is a running program.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  *bufio.Scanner // of its stdout
	stderr bytes.Buffer
	url    string
}

// start starts the program and waits until it listens.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	// A cached result ends with a change of these files, too: the go command notes what a test opens.
	_ = filepath.WalkDir(".", func(string, fs.DirEntry, error) error { return nil })
	ctx, cancel := context.WithTimeout(context.Background(), hanging)
	t.Cleanup(cancel)
	p := &program{t: t, cmd: exec.CommandContext(ctx, binary, append([]string{"-addr", "127.0.0.1:0"}, args...)...)}
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // does nothing if the test has waited for the end
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("stderr of the program:\n%s", &p.stderr)
		}
	})
	p.lines = bufio.NewScanner(stdout)
	require.True(t, p.lines.Scan(), "it ended without a word")
	site, ok := strings.CutPrefix(p.lines.Text(), "listening on ")
	require.True(t, ok, p.lines.Text())
	p.url = site
	return p
}

// wait reads what the program still prints, and waits for its end.
func (p *program) wait() (lines []string) {
	p.t.Helper()
	for p.lines.Scan() {
		lines = append(lines, p.lines.Text())
	}
	require.NoError(p.t, p.cmd.Wait())
	require.Empty(p.t, leftovers(p.t), "processes are left")
	return lines
}

// leftovers finds the processes of the program, where there is a /proc to look into.
func leftovers(t *testing.T) (pids []string) {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	require.NoError(t, err)
	for _, link := range links {
		if exe, _ := os.Readlink(link); exe == binary {
			pids = append(pids, filepath.Base(filepath.Dir(link)))
		}
	}
	return pids
}

// answer is the server's answer to one request.
type answer struct {
	status int
	body   []byte
	pid    int
}

func (p *program) get(path string) answer {
	p.t.Helper()
	var a answer
	resp, err := (&http.Client{Timeout: hanging}).Get(p.url + path)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	a.status = resp.StatusCode
	a.body, err = io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	a.pid, _ = strconv.Atoi(resp.Header.Get("X-Decoder-Pid"))
	return a
}

func (p *program) thumb(name string) answer {
	p.t.Helper()
	return p.get("/thumb?width=160&name=" + url.QueryEscape(name))
}

// ask asks for a thumbnail without waiting for it. The caller takes the answer before its test
// ends.
func (p *program) ask(name string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		defer close(c) // a request that fails ends this goroutine; the answer is empty then
		c <- p.thumb(name)
	}()
	return c
}

// requireThumb asks for the thumbnail of a good picture.
func (p *program) requireThumb(name string) answer {
	p.t.Helper()
	a := p.thumb(name)
	require.Equal(p.t, http.StatusOK, a.status, "%s: %s", name, a.body)
	img, err := png.Decode(bytes.NewReader(a.body))
	require.NoError(p.t, err)
	require.Equal(p.t, 160, img.Bounds().Dx())
	return a
}

type stats struct {
	Outcomes map[string]int
	Decoders map[string][]int
}

func (p *program) stats() (s stats) {
	p.t.Helper()
	require.NoError(p.t, json.Unmarshal(p.get("/stats").body, &s))
	return s
}

// requireReplaced waits until the server knows the successor of a decoder's process.
func (p *program) requireReplaced(pid int) {
	p.t.Helper()
	for limit := time.Now().Add(hanging); time.Now().Before(limit); {
		for _, pids := range p.stats().Decoders {
			if i := slices.Index(pids, pid); i >= 0 && i < len(pids)-1 {
				return
			}
		}
	}
	require.Fail(p.t, "a decoder was not replaced", "pid %d of %v", pid, p.stats().Decoders)
}

// requireBegun waits until a decoder has begun with a picture.
func (p *program) requireBegun(name string) {
	p.t.Helper()
	for limit := time.Now().Add(hanging); time.Now().Before(limit); {
		if bytes.HasPrefix(p.get("/outcome?name="+name).body, []byte("being decoded by decoder/")) {
			return
		}
	}
	require.Fail(p.t, "no decoder has begun", name)
}

func TestPictures(t *testing.T) {
	deadline := "2s"
	if underRace() { // a machine that is busy with other tests as well takes its time for the harmless ones
		deadline = "15s"
	}
	p := start(t, "-deadline", deadline)
	p.requireThumb("video-001.png")
	p.requireThumb("video-005.gray.jpeg")
	p.requireThumb("triangle-001.gif")
	p.requireThumb("harmless.rle")

	bomb, bombText, bombKills := http.StatusBadGateway, `exited with status 2 while running task "thumbnail"[^$]*out of memory`, true
	if !memoryLimited() {
		bomb, bombText, bombKills = http.StatusUnprocessableEntity, `50000 x 50000 pixels are too many`, false
	}
	for _, hostile := range []struct {
		name   string
		status int
		text   string
		kills  bool
	}{
		{"hostile-truncated.png", http.StatusUnprocessableEntity, `decoder/\d+: "thumbnail": png: invalid format`, false},
		{"hostile-bomb.png", bomb, bombText, bombKills},
		{"hostile-crash.rle", http.StatusBadGateway, `exited with status 2 while running task "thumbnail"[^$]*index out of range \[16\]`, true},
		{"hostile-endless.rle", http.StatusGatewayTimeout, `ran past its timeout of ` + deadline + ` on worker decoder/\d+ \(pid \d+\), which was killed`, true},
	} {
		t.Run(hostile.name, func(t *testing.T) {
			p.t = t
			a := p.thumb(hostile.name)
			require.Equal(t, hostile.status, a.status, "%s", a.body)
			require.Regexp(t, hostile.text, string(a.body))
			require.NotZero(t, a.pid)
			if hostile.kills {
				p.requireReplaced(a.pid)
			}
			p.requireThumb("video-001.jpeg")
		})
	}
	p.t = t

	died := 1
	if bombKills {
		died = 2
	}
	require.Equal(
		t,
		map[string]int{"thumbnail": 8, "refused": 4 - 1 - died, "decoder died": died, "timed out": 1},
		p.stats().Outcomes,
	)

	page := string(p.get("/").body)
	require.Contains(t, page, `src="/thumb?name=hostile-bomb.png&amp;width=160"`)
	require.Contains(t, page, `src="/thumb?name=video-001.png&amp;width=160"`)
	require.Regexp(
		t,
		`^504 timed out in .* by decoder/\d+ \(pid \d+\): multiprolab: task`,
		string(p.get("/outcome?name=hostile-endless.rle").body),
	)
	require.Equal(t, http.StatusNotFound, p.thumb("../main.go").status)
	require.Equal(t, http.StatusBadRequest, p.get("/thumb?name=video-001.png&width=0").status)

	p.interrupt()
	p.wait()
}

const noInterrupt = "Windows cannot send Ctrl-C to a single process"

// interrupt does what Ctrl-C does.
func (p *program) interrupt() {
	p.t.Helper()
	if runtime.GOOS == "windows" {
		p.t.Skip(noInterrupt)
	}
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
}

// TestOthersMeanwhile asks for other pictures while one that never comes to an end is being
// decoded.
func TestOthersMeanwhile(t *testing.T) {
	p := start(t, "-deadline", "5s")
	endless := p.ask("hostile-endless.rle")
	p.requireBegun("hostile-endless.rle")
	var meanwhile []answer
	for len(meanwhile) < 10 && len(endless) == 0 {
		meanwhile = append(meanwhile, p.requireThumb("video-001.gif"))
	}
	end := <-endless
	require.Equal(t, http.StatusGatewayTimeout, end.status)

	// A decoder had the endless picture before all of these were asked for, and all but the last
	// were answered before it was given up.
	require.Greater(t, len(meanwhile), 3)
	for _, a := range meanwhile[:len(meanwhile)-1] {
		require.NotEqual(t, end.pid, a.pid)
	}

	p.requireReplaced(end.pid)
	p.requireThumb("video-001.gif")
	p.interrupt()
	p.wait()
}

// TestInterruptMeanwhile ends the program while a picture that never comes to an end is with a
// decoder: the request still gets its answer.
func TestInterruptMeanwhile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip(noInterrupt)
	}
	p := start(t, "-deadline", "2s")
	endless := p.ask("hostile-endless.rle")
	p.requireBegun("hostile-endless.rle")
	p.interrupt()
	a := <-endless
	require.Equal(t, http.StatusGatewayTimeout, a.status, "%s", a.body)
	p.wait()
}

// TestFor ends by itself.
func TestFor(t *testing.T) {
	p := start(t, "-for", "1s")
	p.wait()
}

// TestDashboard shows, beside the site, what the decoders do.
func TestDashboard(t *testing.T) {
	p := start(t, "-for", "5s", "-dashboard", ":0")
	require.True(t, p.lines.Scan())
	page, ok := strings.CutPrefix(p.lines.Text(), "dashboard: ")
	require.True(t, ok, p.lines.Text())
	require.Equal(t, http.StatusUnprocessableEntity, p.get("/thumb?name=hostile-truncated.png&width=100").status)
	resp, err := http.Get(page + "api/stats")
	require.NoError(t, err)
	defer resp.Body.Close()
	var stats multiprolab.Stats
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&stats))
	require.Equal(t, "thumbnail", stats.Types[0].Type)
	require.EqualValues(t, 1, stats.Types[0].Failed)
	for path, begins := range map[string]string{
		"debug/pprof/decoder/0/goroutine?debug=1": "goroutine profile: ", "record": `{"record":"multiprolab"`,
	} {
		resp, err := http.Get(page + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, errors.Join(err, resp.Body.Close()))
		require.True(t, strings.HasPrefix(string(body), begins), "%s: %.200s", path, body)
	}
	p.wait()
}

// TestDemo does what the documentation says to try first.
func TestDemo(t *testing.T) {
	p := start(t, "-demo", "-deadline", "1s")
	lines := p.wait()
	table := map[string]string{}
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, " ")
		table[name] = rest
	}
	bomb := `^ +502 +\d+ms +\d+ +decoder died: .*out of memory`
	if !memoryLimited() {
		bomb = `^ +422 +\d+ms +\d+ +refused: .*too many`
	}
	for name, want := range map[string]string{
		"PICTURE":               `^ +STATUS +TIME +DECODER PID +OUTCOME$`,
		"video-001.png":         `^ +200 +[\d.]+m?s +\d+ +thumbnail$`,
		"harmless.rle":          `^ +200 +[\d.]+m?s +\d+ +thumbnail$`,
		"invalid-crc32.png":     `^ +422 +[\d.]+m?s +\d+ +refused: .*invalid checksum$`,
		"hostile-truncated.png": `^ +422 +[\d.]+m?s +\d+ +refused: .*not enough pixel data$`,
		"hostile-bomb.png":      strings.Replace(bomb, `\d+ms`, `[\d.]+m?s`, 1),
		"hostile-crash.rle":     `^ +502 +[\d.]+m?s +\d+ +decoder died: .*index out of range`,
		"hostile-endless.rle":   `^ +504 +[\d.]+s +\d+ +timed out: .*which was killed$`,
	} {
		require.Regexp(t, regexp.MustCompile(want), table[name], name)
	}
	require.Greater(t, len(lines), 40)
}
