//go:build !solo

package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// writeTable writes the reports as Markdown.
func writeTable(w io.Writer, about string, reports []*report) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n", about)
	for _, r := range reports {
		fmt.Fprintf(&b, "\n### %s (%s)\n\n| |", r.title, r.id)
		line := "|---|"
		for _, m := range r.metrics {
			better := ""
			if m.more {
				better = ", more is better"
			}
			fmt.Fprintf(&b, " %s, %s%s | rounds | × bare |", m.name, m.unit, better)
			line += "---:|---|---:|"
		}
		fmt.Fprintf(&b, "\n%s\n", line)
		for _, res := range r.results {
			if res.err != nil {
				fmt.Fprintf(
					&b,
					"| %s | %s |%s\n",
					res.contender,
					oneLine(res.err),
					strings.Repeat(" |", 3*len(r.metrics)-1),
				)
				continue
			}
			fmt.Fprintf(&b, "| %s |", res.contender)
			for m := range r.metrics {
				v := res.rounds[m]
				fmt.Fprintf(
					&b,
					" %s | %s – %s | %s |",
					number3(median(v)),
					number3(slices.Min(v)),
					number3(slices.Max(v)),
					ratioText(res.ratios[m]),
				)
			}
			fmt.Fprintln(&b)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if !errors.Is(err, errAbsent) {
		text = "FAILED: " + text
	}
	return text
}

// number3 writes a number with three significant digits.
func number3(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func ratioText(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return number3(v) + " ×"
}

// writeCSV writes one line for each metric of each contender.
func writeCSV(w io.Writer, reports []*report) error {
	c := csv.NewWriter(w)
	lines := [][]string{
		{
			"scenario",
			"contender",
			"metric",
			"unit",
			"better",
			"median",
			"min",
			"max",
			"ratio_to_bare",
			"rounds",
			"error",
		},
	}
	for _, r := range reports {
		for _, res := range r.results {
			for m, metric := range r.metrics {
				better := "less"
				if metric.more {
					better = "more"
				}
				line := []string{r.id, res.contender, metric.name, metric.unit, better}
				if res.err != nil {
					lines = append(lines, append(line, "", "", "", "", "", oneLine(res.err)))
					continue
				}
				v := res.rounds[m]
				var each []string
				for _, x := range v {
					each = append(each, exact(x))
				}
				lines = append(
					lines,
					append(
						line,
						exact(median(v)),
						exact(slices.Min(v)),
						exact(slices.Max(v)),
						exact(res.ratios[m]),
						strings.Join(each, " "),
						"",
					),
				)
			}
		}
	}
	return c.WriteAll(lines)
}

// exact writes six significant digits, and nothing for a value that there is not.
func exact(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}
