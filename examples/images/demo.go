package main

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

const (
	clients = 8   // requests at a time
	every   = 100 // one in so many pictures is poisoned
)

// result is what came of the requests to one server.
type result struct {
	served     int             // how many got their thumbnail
	causes     map[string]int  // how many were answered with a cause, by the status of the answer
	unanswered int             // how many got no answer
	took       []time.Duration // of those that were served, sorted
	server     string          // what became of it
	wrong      error           // an answer that should not have been
}

// show runs the same requests against three servers, and prints a table. It runs in a program of
// its own, of which the servers are children.
func show(requests, loops int, limit time.Duration) error {
	fmt.Printf("%d requests, %d at a time, %d of the pictures poisoned\n\n", requests, clients, requests/every)
	columns := []struct {
		name     string
		poisoned bool
		args     []string
	}{
		{"processes", true, nil},
		{"goroutines", true, []string{"-goroutines"}},
		{"goroutines, nothing poisoned", false, []string{"-goroutines"}},
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	rows := []string{"", "served", "answered with the cause", "crashed", "timed out", "out of memory",
		"not answered", "p50", "p99", "the server"}
	for _, c := range columns {
		r, err := try(requests, loops, c.poisoned, append([]string{"-serve", "127.0.0.1:0", "-limit", limit.String()}, c.args...))
		if err = cmp.Or(err, r.wrong); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		causes := 0
		for _, n := range r.causes {
			causes += n
		}
		for i, cell := range []any{c.name, r.served, causes, r.causes["502"], r.causes["504"], r.causes["507"],
			r.unanswered, r.quantile(0.50), r.quantile(0.99), r.server} {
			rows[i] += fmt.Sprintf("\t%v", cell)
		}
	}
	for _, row := range rows {
		fmt.Fprintln(table, row)
	}
	return table.Flush()
}

// try starts a server, sends it all requests, and ends it.
func try(requests, loops int, poisoned bool, args []string) (r result, err error) {
	exe, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.Command(exe, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	first, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return r, fmt.Errorf("the server does not start: %w, %v\n%s", err, cmd.Wait(), &stderr)
	}
	url := strings.TrimSpace(first)

	r = load(url, requests, loops, poisoned)
	pid := ""
	if resp, err := http.Get(url + "/pid"); err == nil {
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		pid = string(body)
	}
	_ = cmd.Process.Signal(os.Interrupt) // it fails if the server is gone
	died := cmd.Wait()
	switch {
	case died != nil:
		r.server = fmt.Sprintf("dead: %s", cause(stderr.String()))
	case pid == fmt.Sprint(cmd.Process.Pid):
		r.server = fmt.Sprintf("pid %s all the time", pid)
	default:
		r.server = fmt.Sprintf("pid %d became %s", cmd.Process.Pid, pid)
	}
	return r, nil
}

// cause returns the line of a report of a crash that says why.
func cause(stderr string) string {
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "SIG") || strings.HasPrefix(line, "[signal SIG") {
			signal, _, _ := strings.Cut(strings.Trim(line, "[]\n"), " code")
			return signal
		}
	}
	return strings.TrimSpace(stderr)
}

// load sends all requests, some at a time.
func load(url string, requests, loops int, poisoned bool) result {
	r := result{causes: map[string]int{}}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	var mu sync.Mutex // guards r
	var next atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= requests {
					return
				}
				grey, p := uint8(n), harmless
				if poisoned {
					p = poisonOf(n, requests, loops)
				}
				body := pictureOf(grey, p)
				begin := time.Now()
				code, text, err := post(client, url, body)
				took := time.Since(begin)
				mu.Lock()
				r.add(n, p, grey, code, text, err, took)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(r.took)
	return r
}

// poisonOf says which of so many requests has which poison. Those that loop are spread over the
// others, which crash and want too much memory in turn; the first one crashes.
func poisonOf(n, requests, loops int) poison {
	if n%every != every/2 {
		return harmless
	}
	n /= every
	all := max(1, requests/every)
	switch {
	case (n+1)*loops/all > n*loops/all:
		return loop
	case n%2 == 0:
		return crash
	}
	return memory
}

// made are the pictures that were made before. Any goroutine may use it.
var made sync.Map

// pictureOf returns a picture, which is made once: the time is that of the servers.
func pictureOf(grey uint8, p poison) []byte {
	key := [2]any{grey, p}
	body, ok := made.Load(key)
	if !ok {
		body, _ = made.LoadOrStore(key, picture(grey, p))
	}
	return body.([]byte)
}

func post(client *http.Client, url string, picture []byte) (code int, body []byte, err error) {
	resp, err := client.Post(url+"/thumbnail", "image/jpeg", bytes.NewReader(picture))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// add notes an answer, and whether it is the one that the picture deserves.
func (r *result) add(n int, p poison, grey uint8, code int, body []byte, err error, took time.Duration) {
	want := map[poison]int{
		harmless: http.StatusOK,
		crash:    http.StatusBadGateway,
		loop:     http.StatusGatewayTimeout,
		memory:   http.StatusInsufficientStorage,
	}[p]
	switch {
	case err != nil:
		r.unanswered++
		return
	case code == http.StatusOK:
		r.served++
		r.took = append(r.took, took)
		if err := check(body, grey); err != nil {
			r.wrong = cmp.Or(r.wrong, fmt.Errorf("request %d: %w", n, err))
		}
	default:
		r.causes[fmt.Sprint(code)]++
	}
	if code != want {
		r.wrong = cmp.Or(r.wrong, fmt.Errorf("request %d, poison %q: %d %s", n, p, code, body))
	}
}

// quantile returns how long a share of the requests that were served took at most.
func (r *result) quantile(share float64) time.Duration {
	if len(r.took) == 0 {
		return 0
	}
	return r.took[int(share*float64(len(r.took)-1))].Round(10 * time.Microsecond)
}
