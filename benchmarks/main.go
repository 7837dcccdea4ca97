//go:build !solo

// The command benchmarks measures multiprolab and other ways to use several processes, one beside
// the other in one run. See README.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"
)

func main() {
	becomeWorker()
	quick := flag.Bool("quick", false, "few workers, one short round: only to see that everything works")
	run := flag.String("run", ".", "regular `expression` of the scenarios to run")
	peers := flag.String("peers", ".", "regular `expression` of the peers; the bare pipe is always among them")
	out := flag.String("out", ".", "`directory` for results.csv and chart.svg")
	rounds := flag.Int("rounds", 0, "rounds of each scenario (default 5, with -quick 1)")
	rent := flag.String("rent", "",
		"instead, measure multiprolab without each mechanism that the regular `expression` matches; "+
			"needs the build tag ablate")
	flag.Parse()
	if *rent != "" {
		if err := measureRent(*rent, *run, *rounds, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	failed, err := compare(*quick, *run, *peers, *out, *rounds, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// compare runs the scenarios and writes the results. failed says that a contender that is present
// has not come to the end.
func compare(quick bool, run, peers, out string, rounds int, table, log io.Writer) (failed bool, err error) {
	wanted, err := regexp.Compile(run)
	if err != nil {
		return false, err
	}
	among, err := regexp.Compile(peers)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return false, err
	}
	o := options{rounds: 5, budget: 250 * time.Millisecond, log: log}
	if quick {
		o.rounds, o.budget = 1, 10*time.Millisecond
	}
	if rounds > 0 {
		o.rounds = rounds
	}
	begin := time.Now()
	var reports []*report
	for _, s := range scenarios(quick) {
		if !wanted.MatchString(s.id) {
			continue
		}
		kept := s.contenders[:1]
		for _, c := range s.contenders[1:] {
			if among.MatchString(c.name()) {
				kept = append(kept, c)
			}
		}
		s.contenders = kept
		reports = append(reports, s.measure(o))
	}
	about := fmt.Sprintf(
		"%s, %s/%s, %d CPUs, %s; %d rounds in %v",
		runtime.Version(),
		runtime.GOOS,
		runtime.GOARCH,
		runtime.NumCPU(),
		begin.Format(time.DateOnly),
		o.rounds,
		time.Since(begin).Round(time.Second),
	)
	for _, r := range reports {
		for _, res := range r.results {
			failed = failed || res.err != nil && !errors.Is(res.err, errAbsent)
		}
	}
	return failed, errors.Join(
		removeSolos(),
		writeTable(table, about, reports),
		writeFile(filepath.Join(out, "results.csv"), func(w io.Writer) error { return writeCSV(w, reports) }),
		writeFile(filepath.Join(out, "chart.svg"), func(w io.Writer) error { return writeChart(w, about, reports) }),
	)
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
