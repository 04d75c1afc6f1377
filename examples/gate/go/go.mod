module example.org/tallyport-gate

go 1.21
