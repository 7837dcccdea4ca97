package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// answer is what the server said about a picture.
type answer struct {
	status       int
	outcome, pid string
	text         string // the error, or empty
	took         time.Duration
	err          error // there was no answer
}

// show asks for all pictures at once, as a browser would, and prints what became of each. It runs
// in the main process.
func show(ctx context.Context, site Site) error {
	answers := make([]answer, len(site.Pictures))
	var asking sync.WaitGroup
	for i, name := range site.Pictures {
		asking.Go(func() { answers[i] = ask(ctx, site.URL, name) })
	}
	asking.Wait()

	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "PICTURE\tSTATUS\tTIME\tDECODER PID\tOUTCOME")
	for i, name := range site.Pictures {
		a := answers[i]
		if a.err != nil {
			return a.err
		}
		fmt.Fprintf(table, "%s\t%d\t%v\t%s\t%s\n", name, a.status, a.took.Round(time.Millisecond), a.pid,
			strings.TrimSuffix(a.outcome+": "+brief(a.text), ": "))
	}
	return table.Flush()
}

func ask(ctx context.Context, site, name string) (a answer) {
	begin := time.Now()
	defer func() { a.took = time.Since(begin) }()
	req, err := http.NewRequestWithContext(
		ctx,
		http.MethodGet,
		site+"/thumb?width=160&name="+url.QueryEscape(name),
		nil,
	)
	if err != nil {
		return answer{err: err}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	a = answer{status: resp.StatusCode, outcome: resp.Header.Get("X-Outcome"), pid: resp.Header.Get("X-Decoder-Pid")}
	body, err := io.ReadAll(resp.Body)
	if a.err = err; resp.StatusCode != http.StatusOK {
		a.text = string(body)
	}
	return a
}
