module github.com/multiprolab/multiprolab/examples/survey

go 1.26.0

replace (
	github.com/multiprolab/multiprolab => ../..
	github.com/multiprolab/multiprolab/console => ../../console
)

require (
	github.com/multiprolab/multiprolab v0.0.0
	github.com/multiprolab/multiprolab/console v0.0.0
)

require (
	github.com/VividCortex/ewma v1.2.0 // indirect
	github.com/acarl005/stripansi v0.0.0-20180116102854-5a71ef0e047d // indirect
	github.com/clipperhouse/uax29/v2 v2.7.0 // indirect
	github.com/mattn/go-runewidth v0.0.30 // indirect
	github.com/vbauerster/cupwriter v0.0.5 // indirect
	github.com/vbauerster/mpb/v8 v8.16.2 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/term v0.48.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)
