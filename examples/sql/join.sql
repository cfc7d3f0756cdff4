SELECT id AS customer, 'c' || name AS item FROM customers
UNION ALL
SELECT customer, 'o' || amount FROM orders
ORDER BY customer, item
