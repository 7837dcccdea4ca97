//go:build !solo

package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// The chart has a panel for each scenario, and a bar for each contender: how many times the cost of
// the bare pipe it takes, on a logarithmic scale. Where more is better the cost is the inverse. The
// text beside a bar is the value itself.

const (
	chartWidth   = 1200
	panelWidth   = 580
	panelGap     = 40
	panelMargin  = 24 // below a panel
	panelHead    = 60
	barPitch     = 19
	barHeight    = 13
	labelWidth   = 215
	valueWidth   = 130
	chartHead    = 76
	textBaseline = 11 // below the top of a bar
)

// The colours are readable on white and on black; text follows the background.
const chartStyle = `
  text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 12px; fill: #1f2328 }
  .title { font-size: 18px; font-weight: 600 }
  .head { font-size: 13px; font-weight: 600 }
  .note, .tick { fill: #59636e } .tick { font-size: 10px }
  .bar { fill: #8c96a3 } .bare { fill: #59636e } .own { fill: #1f78d1 } .own-text { font-weight: 600 }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .one { stroke: #59636e; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note, .tick { fill: #9198a1 }
    .bar { fill: #6e7681 } .bare { fill: #b1bac4 } .own { fill: #58a6ff }
    .grid { stroke: #30363d } .one { stroke: #9198a1 }
  }
`

// bar is one line of a panel.
type bar struct {
	contender string
	cost      float64 // times the bare pipe's
	value     string
	class     string
}

// panel is one metric of one scenario.
type panel struct {
	title, sub string
	bars       []bar
}

func (p *panel) height() int { return panelHead + barPitch*len(p.bars) + panelMargin }

func panels(reports []*report) []panel {
	var all []panel
	for _, r := range reports {
		for m, metric := range r.metrics {
			if !metric.chart {
				continue
			}
			p := panel{title: r.title, sub: metric.name + ", " + metric.unit}
			if metric.more {
				p.sub += ", more is better"
			}
			for k, res := range r.results {
				if res.err != nil || math.IsNaN(res.ratios[m]) {
					continue
				}
				b := bar{
					contender: res.contender,
					cost:      res.ratios[m],
					value:     number3(median(res.rounds[m])),
					class:     "bar",
				}
				if metric.more {
					b.cost = 1 / b.cost
				}
				b.value += " (" + number3(res.ratios[m]) + " ×)"
				switch {
				case k == 0:
					b.class = "bare"
				case strings.HasPrefix(res.contender, "multiprolab"):
					b.class = "own"
				}
				p.bars = append(p.bars, b)
			}
			if len(p.bars) > 0 {
				all = append(all, p)
			}
		}
	}
	return all
}

// writeChart writes the chart as SVG, in two columns.
func writeChart(w io.Writer, about string, reports []*report) error {
	all := panels(reports)
	low, high := 0.5, 10.0 // the scale is the same in all panels
	for _, p := range all {
		for _, b := range p.bars {
			low, high = min(low, b.cost), max(high, b.cost)
		}
	}
	low, high = math.Log10(low)-0.05, math.Log10(high)+0.05

	var body bytes.Buffer
	var y [2]int
	for _, p := range all {
		column := 0
		if y[1] < y[0] {
			column = 1
		}
		p.write(&body, column*(panelWidth+panelGap), chartHead+y[column], low, high)
		y[column] += p.height()
	}
	height := chartHead + max(y[0], y[1])
	var b bytes.Buffer
	fmt.Fprintf(
		&b,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-16 0 %d %d\" width=\"%d\" height=\"%d\">\n",
		chartWidth+32,
		height,
		chartWidth+32,
		height,
	)
	fmt.Fprintf(
		&b,
		"<title>multiprolab and its peers, compared with a bare pipe</title>\n<style>%s</style>\n",
		chartStyle,
	)
	fmt.Fprintf(&b, "<text x=\"0\" y=\"28\" class=\"title\">Cost compared with a bare pipe of the same round</text>\n")
	fmt.Fprintf(
		&b,
		"<text x=\"0\" y=\"48\" class=\"note\">Logarithmic scale; shorter to the right, or longer to the left, is "+
			"better. "+
			"The number is the median of the rounds, in the unit above, and in brackets its ratio to the bare "+
			"pipe.</text>\n",
	)
	fmt.Fprintf(&b, "<text x=\"0\" y=\"65\" class=\"note\">%s</text>\n", escape(about))
	b.Write(body.Bytes())
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

func (p *panel) write(b *bytes.Buffer, x, y int, low, high float64) {
	left, right := float64(x+labelWidth), float64(x+panelWidth-valueWidth)
	at := func(cost float64) float64 { return left + (math.Log10(cost)-low)/(high-low)*(right-left) }
	fmt.Fprintf(b, "<g>\n<text x=\"%d\" y=\"%d\" class=\"head\">%s</text>\n", x, y+16, escape(p.title))
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" class=\"note\">%s</text>\n", x, y+33, escape(p.sub))
	top := y + panelHead
	bottom := top + barPitch*len(p.bars)
	for e := math.Ceil(low); e <= high; e++ {
		tick := math.Pow(10, e)
		class := "grid"
		if tick == 1 {
			class = "one"
		}
		fmt.Fprintf(
			b,
			"<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" class=\"%s\"/>\n",
			at(tick),
			top-4,
			at(tick),
			bottom,
			class,
		)
		fmt.Fprintf(
			b,
			"<text x=\"%.1f\" y=\"%d\" class=\"tick\" text-anchor=\"middle\">%g ×</text>\n",
			at(tick),
			top-8,
			tick,
		)
	}
	for k, line := range p.bars {
		t := top + barPitch*k
		from, to := at(1), at(line.cost)
		if from > to {
			from, to = to, from
		}
		text := ""
		if line.class == "own" {
			text = ` class="own-text"`
		}
		fmt.Fprintf(
			b,
			"<text x=\"%d\" y=\"%d\" text-anchor=\"end\"%s>%s</text>\n",
			x+labelWidth-8,
			t+textBaseline,
			text,
			escape(line.contender),
		)
		fmt.Fprintf(
			b,
			"<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" class=\"%s\"/>\n",
			from-1,
			t,
			to-from+2,
			barHeight,
			line.class,
		)
		fmt.Fprintf(
			b,
			"<text x=\"%.1f\" y=\"%d\"%s>%s</text>\n",
			max(to, at(1))+6,
			t+textBaseline,
			text,
			escape(line.value),
		)
	}
	b.WriteString("</g>\n")
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
