//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deployment is a directory with versions of the server, one of which runs, as "current/prefork".
type deployment struct {
	t     *testing.T
	dir   string
	cmd   *exec.Cmd
	lines chan string // what the server logs; closed at its end
	log   strings.Builder
}

// deploy leads "current" to a version.
func (d *deployment) deploy(version int) {
	d.t.Helper()
	to := filepath.Join(d.dir, fmt.Sprint("v", version))
	cmd := exec.Command("go", "build", "-ldflags", fmt.Sprint("-X main.version=", version), "-o", to+"/prefork", ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
	current := filepath.Join(d.dir, "current")
	if err := os.Symlink(to, current+".new"); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(current+".new", current); err != nil {
		d.t.Fatal(err)
	}
}

// start starts the server.
func (d *deployment) start(workers int) {
	d.t.Helper()
	file := filepath.Join(d.dir, "current", "prefork")
	d.cmd = exec.Command(file, "-addr", "127.0.0.1:0", "-workers", fmt.Sprint(workers))
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without a terminal, whose end SIGHUP would tell
	r, w, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	d.cmd.Stdout, d.cmd.Stderr = w, w
	// What this process hears the server does not begin to ignore, as it would below nohup.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	d.t.Cleanup(func() { signal.Stop(heard) })
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	_ = w.Close() // the server has its own
	d.lines = make(chan string, 1000)
	go func() { // ends with the server and all that it has started
		defer close(d.lines)
		defer r.Close()
		for s := bufio.NewScanner(r); s.Scan(); {
			d.lines <- s.Text()
		}
	}()
	d.t.Cleanup(func() {
		_ = d.cmd.Process.Kill() // otherwise it has ended
		_ = d.cmd.Wait()
		if d.t.Failed() {
			d.t.Logf("log of the server:\n%s", &d.log)
		}
	})
}

// signal sends a signal to the server.
func (d *deployment) signal(sig os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.t.Fatal(err)
	}
}

// await waits for a line of the server's log, n times, and returns what the parentheses match.
func (d *deployment) await(line string, n int) (match []string) {
	d.t.Helper()
	want := regexp.MustCompile(line)
	late := time.After(time.Minute)
	for n > 0 {
		select {
		case text, ok := <-d.lines:
			if !ok {
				d.t.Fatalf("the server has ended; no line %s", want)
			}
			fmt.Fprintln(&d.log, text)
			if m := want.FindStringSubmatch(text); m != nil {
				match = m
				n--
			}
		case <-late:
			d.t.Fatalf("no line %s", want)
		}
	}
	return match
}

// Under load, no request fails of ten rolling restarts and three upgrades, each to a file to which a
// symbolic link is led; the process stays, and with it the address.
func TestUpgradesUnderLoad(t *testing.T) {
	*rate = 200
	const workers, upgrades, restarts = 2, 3, 10
	d := &deployment{t: t, dir: t.TempDir()}
	d.deploy(1)
	d.start(workers)
	pid := d.cmd.Process.Pid
	url := "http://" + d.await(fmt.Sprintf(`version 1 serves at (\S+), pid %d$`, pid), 1)[1] + "/"
	defer http.DefaultClient.CloseIdleConnections()
	d.await(" is ready: version 1, ", workers)
	o, err := under(url, func() error {
		version, life := 1, 1
		for i := range restarts {
			life++
			d.signal(syscall.SIGHUP)
			d.await(fmt.Sprintf(`is ready: version %d, life %d, child of %d$`, version, life, pid), workers)
			if i%upgrades != upgrades-1 {
				continue
			}
			version, life = version+1, 1
			d.deploy(version)
			d.signal(syscall.SIGUSR2)
			d.await(fmt.Sprintf(`is ready: version %d, life 1, child of %d$`, version, pid), workers)
			r, err := http.Post(url, "", nil)
			if err != nil {
				return err
			}
			_ = r.Body.Close() // nothing of it is wanted
			if server := r.Header.Get("Server"); server != fmt.Sprint("prefork/", version) {
				return fmt.Errorf("version %d does not serve, but %s", version, server)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := o.failed(); n > 0 {
		t.Errorf("%d of %d requests have failed: %v", n, o.metrics.Requests, o.errors)
	}
	t.Logf("%d requests", o.metrics.Requests)
	d.signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		t.Error(err)
	}
}
