module github.com/multiprolab/multiprolab/profiles/combine

go 1.26.0

replace github.com/multiprolab/multiprolab => ../../

require (
	github.com/google/pprof v0.0.0-20261105003125-4bf881d7fb0b
	github.com/multiprolab/multiprolab v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)
